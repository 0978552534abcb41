#!/usr/bin/env bash
# QEMU 7.2.22 (Debian bookworm), beside 10.0.2 (bookworm-backports); qemu-system-s390x.
#
# Expected: the description that QEMU appends to a migration stream (VMDESCRIPTION) gives each
# field's size, so that a device section is as long as its fields together.
#
# What happens in 7.2: the section s390_css of every s390x machine has an array of 256 pointers, of
# which all but one are null. It is described by its first element alone, as 256 structs of one byte:
# 272 bytes in all, where the stream has 1039. 10.0 describes runs of null pointers and the struct of
# 768 bytes one by one, and the sum is right.
#
# Output seen:
#   7.2: 1039 bytes in the stream, 272 described
#   10.0: 1039 bytes in the stream, 1039 described
#
# Why it matters: sections have no lengths, so that the description is all that tells them apart;
# with one that is wrong, no section behind it can be found by it either.

. "$(dirname "$0")/common.sh"
debian old 'bookworm' qemu-system-misc=1:7.2+dfsg-7+deb12u18+b3
debian new 'bookworm bookworm-backports' qemu-system-s390x=1:10.0.2+ds-2+deb13u1~bpo12+1

cat > run.mjs <<EOF
import { readFileSync } from 'node:fs';
import { start } from '$here/qemu.mjs';
for (const [command, share] of [
  ['$(program old qemu-system-s390x)', '$tmp/old/usr/share/qemu'],
  ['$(program new qemu-system-s390x)', '$tmp/new/usr/share/qemu'],
]) {
  const vm = await start(command, '-L', share, '-machine', 's390-ccw-virtio');
  await vm.migrate('exec:cat > $tmp/stream');
  const stream = readFileSync('$tmp/stream');
  // 00 06, be32 length, JSON, which is the last thing in it.
  let text = stream.length;
  do text = stream.lastIndexOf('{', text - 1);
  while (text >= 0 && stream.readUInt32BE(text - 4) !== stream.length - text);
  const { devices } = JSON.parse(stream.toString('utf8', text));
  const { fields } = devices.find(({ name }) => name === 's390_css');
  const described = fields.reduce((sum, f) => sum + f.size * (f.array_len ?? 1), 0);
  // be32 section id, u8 length, name, be32 instance, be32 version, content, 7e, be32 section id
  const name = stream.indexOf('\\u0008s390_css');
  const begin = name + 9 + 8;
  const footer = Buffer.concat([Buffer.of(0x7e), stream.subarray(name - 4, name)]);
  const length = stream.indexOf(footer, begin) - begin;
  console.log(vm.version + ':', length, 'bytes in the stream,', described, 'described');
  vm.kill();
}
process.exit();
EOF
node run.mjs > out
value() { sed -n "s/^$1: //p" out; }
expect '7.2' '1039 bytes in the stream, 272 described' "$(value 7.2)"
expect '10.0' '1039 bytes in the stream, 1039 described' "$(value 10.0)"
