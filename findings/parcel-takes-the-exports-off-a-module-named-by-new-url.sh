#!/usr/bin/env bash
# A module that is loaded late by its address, import(new URL('./part.mjs', import.meta.url).href):
# Parcel 2.16.4.
#
# Expected: new URL(..., import.meta.url) stands for the file, which is copied as it is (webpack,
# Vite) or left where it is (esbuild, Rollup): imported from there, it has its exports.
#
# What happens: the file is built as a program of its own. What it does is done, and its exports are
# gone: import() gives an empty namespace. Nothing is said. import('./part.mjs') keeps them.
#
# Output seen: the exports of the module
#   as it stands   answer
#   bundled        (none), and what it does is done
#
# Why it matters: a package that keeps a large part out of its workers by this expression, since
# Vite's workers can have no chunks, gets nothing from Parcel; the part has to leave what it makes
# where its loader looks for it.

. "$(dirname "$0")/common.sh"
npm_packages parcel@2.16.4

cat > part.mjs <<'EOF'
globalThis.done = true;
export const answer = 42;
EOF
cat > main.mjs <<'EOF'
const part = await import(new URL('./part.mjs', import.meta.url).href);
console.log(Object.keys(part).join() || '(none)', globalThis.done === true);
EOF
cat > package.json <<'EOF'
{ "type": "module", "private": true,
  "targets": { "out": { "source": "main.mjs", "distDir": "out", "context": "node",
    "outputFormat": "esmodule", "isLibrary": false, "includeNodeModules": true } } }
EOF
expect 'as it stands' 'answer true' "$(node main.mjs)"
npx parcel build --target out --no-cache --no-source-maps > parcel.log 2>&1 ||
  { cat parcel.log >&2; exit 1; }
expect 'bundled' '(none) true' "$(node out/main.js)"
