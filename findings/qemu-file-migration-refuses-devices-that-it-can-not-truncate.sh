#!/usr/bin/env bash
# QEMU 11.1.3 (10.0.2 does the same).
#
# Expected: `migrate file:PATH` writes a VM into anything that can be opened and written at places:
# an LVM volume, a disk, a loop device; and into /dev/null, to measure what the source can do.
#
# What happens: the target is truncated to the offset first, and a device can't be truncated. The
# migration fails before a byte is written, with mapped-ram and without it. (Seen with a loop device
# as well. This script takes /dev/null, which needs no rights.) `exec:cat > DEVICE` works, for a
# plain stream; a mapped-ram image can't be put on a device by QEMU at all.
#
# Output seen:
#   plain: failed, failed to truncate migration file to offset 0: Invalid argument
#   mapped-ram: failed, failed to truncate migration file to offset 0: Invalid argument
#   exec: completed
#
# Why it matters: images on volumes have to be written by somebody else than QEMU, and a benchmark
# that wants no disk in its way needs a file in tmpfs.

. "$(dirname "$0")/common.sh"
debian peers 'trixie trixie-backports' qemu-system-x86=1:11.1.3+ds-1~bpo13+1

cat > run.mjs <<EOF
import { start } from '$here/qemu.mjs';
const command = '$(qemu peers)';
const say = (name, info) =>
  console.log([name, info.status ?? 'failed', info['error-desc'] ?? info.error].join('|'));
const plain = await start(command);
say('plain', await plain.migrate('file:/dev/null'));
const mapped = await start(command);
await mapped.capability('mapped-ram');
say('mapped-ram', await mapped.migrate('file:/dev/null'));
const exec = await start(command);
say('exec', await exec.migrate('exec:cat > /dev/null'));
process.exit();
EOF
node run.mjs > out
refused='failed|failed to truncate migration file to offset 0: Invalid argument'
expect 'plain' "$refused" "$(sed -n 's/^plain|//p' out)"
expect 'mapped-ram' "$refused" "$(sed -n 's/^mapped-ram|//p' out)"
expect 'exec' 'completed|' "$(sed -n 's/^exec|//p' out)"
