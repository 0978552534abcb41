#!/usr/bin/env bash
# A bundle for Node that starts a worker by new Worker(new URL(...)): webpack 5.113.0, target node.
#
# Expected: webpack has this pattern in its list of workers, with "Worker from worker_threads"; the
# same import with its prefix, "node:worker_threads", gives the same, or is left as it stands.
#
# What happens: with the prefix and the name Worker the worker's file is bundled, and the expression
# is written as X.Worker__webpack_require__.wc(...): the two ways of naming the constructor run into
# one word. webpack says that it compiled, and the bundle throws when it gets there. Without the
# prefix it works. With the prefix and another name (import { Worker as Thread }) the file is copied
# as an asset, and it works.
#
# Output seen: what the bundle does; how the worker's file was taken
#   with the prefix            TypeError, bundled
#   without it                 hello, bundled
#   with it, by another name   hello, copied
#
# Why it matters: Deno and JSR know Node's modules by their prefix only, so a package that starts
# its own threads on all of them has it, and is broken by nothing that it, or its user, did.

. "$(dirname "$0")/common.sh"
npm_packages webpack@5.113.0

cat > w.mjs <<'EOF'
import { parentPort } from 'node:worker_threads';
parentPort.postMessage('hello');
EOF
cat > build.mjs <<'EOF'
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import webpack from 'webpack';
const [entry, path] = process.argv.slice(2);
const stats = await promisify(webpack)({
  mode: 'development', devtool: false, target: 'node', entry, output: { path, filename: 'a.cjs' },
});
if (stats.hasErrors()) throw new Error(stats.toString());
const copied = readdirSync(path).some((name) => name.endsWith('.mjs')
  && readFileSync(`${path}/${name}`, 'utf8') === readFileSync('w.mjs', 'utf8'));
console.log(copied ? 'copied' : 'bundled');
EOF
# bundled IMPORT CONSTRUCTOR: what the bundle does, and how the worker's file was taken.
bundled() {
  local taken
  printf '%s\n' "import $1; const worker = new $2(new URL('./w.mjs', import.meta.url));" \
    "worker.on('message', (message) => console.log(message));" > a.mjs
  rm -rf out
  taken=$(node build.mjs ./a.mjs "$PWD/out")
  echo "$(node out/a.cjs 2>&1 | grep -o -m 1 '^hello\|^TypeError' || true), $taken"
}
expect 'with the prefix' 'TypeError, bundled' \
  "$(bundled "{ Worker } from 'node:worker_threads'" Worker)"
expect 'without it' 'hello, bundled' "$(bundled "{ Worker } from 'worker_threads'" Worker)"
expect 'with it, by another name' 'hello, copied' \
  "$(bundled "{ Worker as Thread } from 'node:worker_threads'" Thread)"
