#!/usr/bin/env bash
# QEMU 7.2.22 and 11.1.3 (10.0.2 does as 11.1 does).
#
# Expected: the header of a kdump file names the machine, as the kernel's utsname has it ("x86_64").
# It is the one place in the format that tells the architecture.
#
# What happens: 7.2 writes "x86_64". 11.1 writes "Unknown", on every target (seen on x86_64, aarch64
# and s390x). The other five utsname fields are empty in both.
#
# Output seen:
#   7.2: ||||x86_64|
#   11.1: ||||Unknown|
#
# Why it matters: a reader that picks page tables and registers by utsname.machine opens an old dump
# of a guest and not a new one of the same guest. The architecture has to be told from outside.

. "$(dirname "$0")/common.sh"
debian old 'bookworm' qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3
debian new 'trixie trixie-backports' qemu-system-x86=1:11.1.3+ds-1~bpo13+1

cat > run.mjs <<EOF
import { readFileSync } from 'node:fs';
import { start } from '$here/qemu.mjs';
for (const command of ['$(qemu old)', '$(qemu new)']) {
  const vm = await start(command);
  const path = '$tmp/' + vm.version;
  const protocol = 'file:' + path;
  await vm.execute('dump-guest-memory', { paging: false, protocol, format: 'kdump-zlib' });
  const file = readFileSync(path);
  const utsname = file.indexOf('KDUMP   ') + 12; // behind the signature and the version
  const fields = Array.from({ length: 6 }, (_, i) => {
    const field = file.toString('latin1', utsname + 65 * i, utsname + 65 * (i + 1));
    return field.slice(0, field.indexOf('\0'));
  });
  console.log(vm.version, fields.join('|'));
}
process.exit();
EOF
node run.mjs > out
expect '7.2' '||||x86_64|' "$(sed -n 's/^7.2 //p' out)"
expect '11.1' '||||Unknown|' "$(sed -n 's/^11.1 //p' out)"
