import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { rollup } from 'rollup';
import { dts } from 'rollup-plugin-dts';

/** Each entry's declarations, by the file that they come from. */
const ENTRIES = {
  index: 'entry/node.d.ts',
  browser: 'entry/browser.d.ts',
  workerd: 'entry/workerd.d.ts',
  live: 'live/index.d.ts',
  image: 'image/portable.d.ts',
  core: 'core/index.d.ts',
  engine: 'engine/index.d.ts',
};

/** Where the types stand that take the place of WebAssembly's own. */
const WEBASSEMBLY = 'util/webassembly.d.ts';

/**
 * Names WebAssembly's objects by types that hold without `dom` too: there the namespace is missing,
 * and what names it takes anything.
 */
function nameWebAssembly(from) {
  for (const entry of readdirSync(from, { recursive: true })) {
    if (!entry.endsWith('.d.ts') || entry === WEBASSEMBLY) continue;
    const file = join(from, entry);
    const used = new Set();
    // Comments keep the names that everybody knows.
    const text = readFileSync(file, 'utf8').replace(
      /(\/\*[\s\S]*?\*\/)|\bWebAssembly\.(Memory|Module|Instance|Global|Table)\b/g,
      (found, comment, name) => {
        if (comment !== undefined) return found;
        used.add(`Wasm${name}`);
        return `Wasm${name}`;
      },
    );
    if (used.size === 0) continue;
    const path = relative(dirname(file), join(from, WEBASSEMBLY)).replace(/\.d\.ts$/, '.js');
    const names = [...used].join(', ');
    const source = path.startsWith('.') ? path : `./${path}`;
    writeFileSync(file, `import type { ${names} } from '${source}';\n${text}`);
  }
}

/** A reference counts only at the head of its file. */
const REFERENCES_FIRST = {
  name: 'references-first',
  renderChunk(code) {
    const references = code.match(/^\/\/\/ <reference .*$/gm) ?? [];
    return [...new Set(references), code.replace(/^\/\/\/ <reference .*\n/gm, '')].join('\n');
  },
};

/**
 * One file of declarations an entry; what several have in common is in files beside them, so that a
 * class is the same type wherever it comes from.
 * @param from where the compiler has put a file for each source.
 */
export async function rollDeclarations(from, to) {
  nameWebAssembly(from);
  const problems = [];
  const bundle = await rollup({
    input: Object.fromEntries(
      Object.entries(ENTRIES).map(([name, file]) => [name, join(from, file)]),
    ),
    external: /^node:/,
    plugins: [dts(), REFERENCES_FIRST],
    onwarn: ({ message }) => problems.push(message),
  });
  if (problems.length > 0) throw new Error(problems.join('\n'));
  const { output } = await bundle.write({
    dir: to,
    format: 'es',
    chunkFileNames: (chunk) => `${chunk.name.replace('.d', '')}-[hash].d.ts`,
  });
  await bundle.close();
  // Deno takes the names in declarations as they stand: each is a module for it as well.
  for (const { fileName } of output) {
    const name = fileName.replace(/\.d\.ts$/, '');
    const text = `/* @ts-self-types="./${fileName}" */ export {};\n`;
    writeFileSync(join(to, `${name}.js`), text);
  }
  // The modules that threads load export nothing.
  writeFileSync(join(to, 'worker.d.ts'), 'export {};\n');
}
