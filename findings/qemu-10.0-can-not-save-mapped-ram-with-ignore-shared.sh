#!/usr/bin/env bash
# QEMU 10.0.2 (Debian bookworm-backports), beside 11.1.3 (trixie-backports).
#
# Expected: the capabilities mapped-ram and x-ignore-shared are taken together, or one is refused
# beside the other when it is set, as other pairs are.
#
# What happens in 10.0: both are taken, `migrate file:` begins, and fails with "Unable to write to
# file: Bad address". For a block that is left out there is no bitmap in memory, and its bitmap is to
# be written all the same. The file that stays behind has a configuration, a block list, and nothing
# that can be loaded. 11.1 writes a header with zeros for such a block, and completes.
#
# Output seen:
#   10.0: failed, Unable to write to file: Bad address
#   11.1: completed
#
# Why it matters: a VM whose RAM is a shared file can be saved without it, by one release and not by
# the other, and what one has left behind begins as an image does.

. "$(dirname "$0")/common.sh"
debian old 'bookworm bookworm-backports' qemu-system-x86=1:10.0.2+ds-2+deb13u1~bpo12+1
debian new 'trixie trixie-backports' qemu-system-x86=1:11.1.3+ds-1~bpo13+1

cat > run.mjs <<EOF
import { start } from '$here/qemu.mjs';
for (const command of ['$(qemu old)', '$(qemu new)']) {
  const ram = 'memory-backend-file,id=ram,size=16M,share=on,mem-path=$tmp/ram';
  const vm = await start(command, '-object', ram, '-machine', 'pc,memory-backend=ram');
  for (const name of ['mapped-ram', 'x-ignore-shared']) await vm.capability(name);
  const info = await vm.migrate('file:$tmp/saved');
  console.log(vm.version + ':', [info.status, info['error-desc']].filter(Boolean).join(', '));
  vm.kill();
}
process.exit();
EOF
node run.mjs 2>/dev/null > out
value() { sed -n "s/^$1: //p" out; }
expect '10.0' 'failed, Unable to write to file: Bad address' "$(value 10.0)"
expect '11.1' 'completed' "$(value 11.1)"
