#!/usr/bin/env bash
# QEMU 11.1.3 (Debian trixie-backports), source and target.
#
# Expected: in postcopy a page of zeros goes as a word of its own (nine bytes), whatever else is on:
# zero-page-detection is "multifd" by default, and multifd's channels detect zero pages before the
# switch.
#
# What happens: with the capability multifd on beside postcopy-ram, every page that is left at the
# switch is sent whole, zeros included. The detection belongs to the channels then, which rest after
# the switch, and nothing takes its place. Of a VM of 64 MiB that is all zero but for its firmware,
# query-migrate counts some 16,000 zero pages without multifd, and none with it.
#
# Output seen:
#   off: zero pages are most of all: true; whole pages are most of all: false
#   on: zero pages are most of all: false; whole pages are most of all: true
#
# Why it matters: a migration that goes over to postcopy early costs the VM's size on the wire with
# multifd, and only its content without; and a target that writes a file gets no holes.

. "$(dirname "$0")/common.sh"
debian new 'trixie trixie-backports' qemu-system-x86=1:11.1.3+ds-1~bpo13+1

cat > run.mjs <<EOF
import { start } from '$here/qemu.mjs';
const command = '$(qemu new)';
for (const multifd of [false, true]) {
  const names = ['postcopy-ram', 'return-path', ...(multifd ? ['multifd'] : [])];
  const uri = 'unix:$tmp/' + multifd;
  const target = await start(command, '-m', '64', '-incoming', 'defer');
  const source = await start(command, '-m', '64');
  for (const vm of [target, source]) for (const name of names) await vm.capability(name);
  await target.execute('migrate-incoming', { uri });
  // Nothing is sent to speak of before the switch.
  await source.execute('migrate-set-parameters', { 'max-bandwidth': 4096 });
  await source.execute('migrate', { uri });
  let info;
  do info = await source.execute('query-migrate');
  while (info.status !== 'active');
  await source.execute('migrate-start-postcopy');
  do {
    await new Promise((resolve) => setTimeout(resolve, 20));
    info = await source.execute('query-migrate');
  } while (!/^(completed|failed)$/.test(info.status));
  const { duplicate, normal } = info.ram;
  const most = (pages) => pages > 0.9 * (duplicate + normal);
  console.log(multifd ? 'on' : 'off', info.status, duplicate, normal);
  console.log(multifd ? 'on:' : 'off:', 'zero pages are most of all: ' + most(duplicate) + ';',
    'whole pages are most of all: ' + most(normal));
  for (const vm of [target, source]) vm.kill();
}
process.exit();
EOF
node run.mjs | tee out
value() { sed -n "s/^$1: //p" out; }
expect 'off' 'zero pages are most of all: true; whole pages are most of all: false' "$(value off)"
expect 'on' 'zero pages are most of all: false; whole pages are most of all: true' "$(value on)"
