#!/usr/bin/env bash
# lz4js 0.2.0, lz4 1.9.4 (Debian bookworm).
#
# Expected: a frame whose blocks carry checksums (`lz4 -BX`; the frame's header says so) is
# decompressed as any other, or refused.
#
# What happens: what comes back is wrong in length and content, without an error: the four bytes
# behind each block are not skipped. Frames without them are right, also with linked blocks.
#
# Output seen:
#   plain: 300000 bytes, right
#   linked blocks: 300000 bytes, right
#   block checksums: other bytes
#
# Why it matters: checksums are what somebody turns on for data that has to arrive whole.

. "$(dirname "$0")/common.sh"
debian peers bookworm lz4=1.9.4-1
npm_packages lz4js@0.2.0

cat > run.mjs <<'EOF'
import { readFileSync } from 'node:fs';
import lz4 from 'lz4js';
const want = readFileSync('image');
for (const name of ['plain', 'linked', 'checked']) {
  let seen;
  try {
    const bytes = lz4.decompress(readFileSync(name));
    seen = want.equals(bytes) ? `${bytes.length} bytes, right` : 'other bytes';
  } catch (error) {
    seen = error.message;
  }
  console.log(`${name}|${seen}`);
}
EOF
node -e '
  const bytes = Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 9) * 13) & 255);
  require("node:fs").writeFileSync("image", Buffer.from(bytes));'
lz4=$(program peers lz4)
"$lz4" -q -c -B4 image > plain
"$lz4" -q -c -B4 -BD image > linked
"$lz4" -q -c -B4 -BX image > checked
node run.mjs > out
value() { sed -n "s/^$1|//p" out; }
expect 'plain' '300000 bytes, right' "$(value plain)"
expect 'linked blocks' '300000 bytes, right' "$(value linked)"
expect 'block checksums' 'other bytes' "$(value checked)"
