#!/usr/bin/env bash
# QEMU 7.2.22 (Debian bookworm), beside 11.1.3.
#
# Expected: migrate-set-parameters with multifd-zlib-level or multifd-zstd-level sets the level, and
# refuses one that does not exist.
#
# What happens in 7.2: the answer is that of success, and the value is dropped before anybody looks
# at it. query-migrate-parameters goes on to say 1, the stream (looked at as well) is of level 1,
# and level 200, where 20 is the highest, is taken as well. 11.1 sets the one and refuses the other.
#
# Output seen:
#   7.2 answers: {}
#   7.2 refuses 200: false
#   7.2 has: zlib 1, zstd 1
#   11.1 refuses 200: true
#   11.1 has: zlib 9, zstd 19
#
# Why it matters: a benchmark of levels against 7.2 measures one level, and a peer's setting is to
# be read back, not believed.

. "$(dirname "$0")/common.sh"
debian old 'bookworm' qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3
debian new 'trixie trixie-backports' qemu-system-x86=1:11.1.3+ds-1~bpo13+1

cat > run.mjs <<EOF
import { start } from '$here/qemu.mjs';
for (const command of ['$(qemu old)', '$(qemu new)']) {
  const vm = await start(command);
  const set = (values) => vm.execute('migrate-set-parameters', values);
  const answer = await set({ 'multifd-zlib-level': 9, 'multifd-zstd-level': 19 });
  const refused = await set({ 'multifd-zstd-level': 200 });
  const now = await vm.execute('query-migrate-parameters');
  console.log(vm.version, 'answers', JSON.stringify(answer));
  console.log(vm.version, 'refuses', 'error' in refused);
  console.log(vm.version, 'has', 'zlib ' + now['multifd-zlib-level'] + ',',
    'zstd ' + now['multifd-zstd-level']);
}
process.exit();
EOF
node run.mjs > out
value() { sed -n "s/^$1 $2 //p" out; }
expect '7.2 answers' '{}' "$(value 7.2 answers)"
expect '7.2 refuses 200' 'false' "$(value 7.2 refuses)"
expect '7.2 has' 'zlib 1, zstd 1' "$(value 7.2 has)"
expect '11.1 refuses 200' 'true' "$(value 11.1 refuses)"
expect '11.1 has' 'zlib 9, zstd 19' "$(value 11.1 has)"
