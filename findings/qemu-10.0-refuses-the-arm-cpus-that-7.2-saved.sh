#!/usr/bin/env bash
# QEMU 7.2.22 (Debian bookworm) to 10.0.2 (bookworm-backports); qemu-system-aarch64.
#
# Expected: a VM of a versioned machine type (virt-7.2) goes from a QEMU to a newer one that has the
# type: that is what the types are for.
#
# What happens: 10.0 has virt-7.2, and fails to load the CPU of a stopped cortex-a57 without any
# device ("error while loading state for instance 0x0 of device 'cpu'"), and exits. 10.0's own stream
# of the same machine type is loaded.
#
# Output seen:
#   from 7.2: ended
#   its words: error while loading state for instance 0x0 of device 'cpu'
#   from 10.0: completed
#
# Why it matters: images and recordings of an Arm guest, and live migrations of one, stay with the
# release that made them, whatever their machine type promises.

. "$(dirname "$0")/common.sh"
debian old 'bookworm' qemu-system-arm=1:7.2+dfsg-7+deb12u18+b3
debian new 'bookworm bookworm-backports' qemu-system-arm=1:10.0.2+ds-2+deb13u1~bpo12+1

cat > run.mjs <<EOF
import { start } from '$here/qemu.mjs';
const machine = ['-machine', 'virt-7.2', '-cpu', 'cortex-a57', '-m', '64'];
const old = '$(program old qemu-system-aarch64)';
const current = '$(program new qemu-system-aarch64)';
const share = { [old]: '$tmp/old/usr/share/qemu', [current]: '$tmp/new/usr/share/qemu' };
for (const command of [old, current]) {
  const vm = await start(command, '-L', share[command], ...machine);
  await vm.migrate('exec:cat > $tmp/stream');
  vm.kill();
  const target = await start(current, '-L', share[current], ...machine, '-incoming', 'defer');
  let status;
  try {
    await target.execute('migrate-incoming', { uri: 'exec:cat $tmp/stream' });
    do ({ status } = await target.execute('query-migrate'));
    while (!/^(completed|failed)$/.test(status));
  } catch {
    status = 'ended';
  }
  console.log('from ' + vm.version + ':', status);
  target.kill();
}
process.exit();
EOF
node run.mjs > out 2> err
value() { sed -n "s/^from $1: //p" out; }
expect 'from 7.2' 'ended' "$(value 7.2)"
expect 'its words' "error while loading state for instance 0x0 of device 'cpu'" \
  "$(grep -o "error while loading state for instance 0x0 of device '[^']*'" err)"
expect 'from 10.0' 'completed' "$(value 10.0)"
