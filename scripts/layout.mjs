import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

// Keeps the house in order: `node scripts/layout.mjs` prints what breaks one of its rules.
//
// - A folder of src/ imports only from itself and from folders that stand below it in LAYERS.
// - What differs by runtime is imported by its name in package.json's `imports`; it counts as an
//   import of the folder in which its implementations are.
// - Nothing outside a folder imports one runtime's implementation by its path.
// - No line of src/ and assembly/ is longer than 100 columns.

export const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** The folders of src/, from the top down. */
export const LAYERS = [
  'entry',
  'cli',
  'live',
  'recording',
  'proxy',
  'migration',
  'channel',
  'image',
  'blocks',
  'stream',
  'engine',
  'transport',
  'compression',
  'core',
  'files',
  'util',
];
export const COLUMNS = 100;

const IMPORT = /\b(?:from|import\()\s*'([^']+)'/g;
/** One runtime's implementation of a feature. */
const BY_RUNTIME = /\/(?:runtime|threads)\/(?:node|web|workerd)\.ts$/;

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}

const layerOf = (path) => relative('src', path).split(sep)[0];

/** The file that a name of package.json's `imports` stands for on Node; `*` is any part of it. */
function implementationOf(specifier, aliases) {
  const pattern = Object.keys(aliases).find((name) => {
    const [head, tail] = name.split('*');
    return tail === undefined ? name === specifier : specifier.startsWith(head);
  });
  const part = specifier.slice(pattern.indexOf('*'));
  return aliases[pattern].default.replace('*', part);
}

/** Every import of a file of src/, as a path from the project's root. */
export function importsOf(file, text, aliases) {
  const imports = [];
  for (const [, specifier] of text.matchAll(IMPORT)) {
    if (specifier.startsWith('#')) imports.push(normalize(implementationOf(specifier, aliases)));
    else if (specifier.startsWith('.')) imports.push(normalize(join(dirname(file), specifier)));
  }
  return imports;
}

/** What breaks a rule, a line each. */
export function broken(root = ROOT) {
  const { imports: aliases } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const found = [];
  for (const path of [...sources(join(root, 'src')), ...sources(join(root, 'assembly'))]) {
    const file = relative(root, path);
    const text = readFileSync(path, 'utf8');
    text.split('\n').forEach((line, index) => {
      if (line.length > COLUMNS) found.push(`${file}:${index + 1} has ${line.length} columns`);
    });
    if (!file.startsWith('src')) continue;
    const own = LAYERS.indexOf(layerOf(file));
    if (own < 0) found.push(`${file} is in no folder of the layout`);
    for (const target of importsOf(file, text, aliases)) {
      if (!target.startsWith('src')) continue;
      if (LAYERS.indexOf(layerOf(target)) < own) found.push(`${file} imports up: ${target}`);
      const direct = text.includes(`/${target.split(sep).at(-1)}'`) && BY_RUNTIME.test(target);
      if (direct && dirname(file) !== dirname(target)) {
        found.push(`${file} imports one runtime's file: ${target}`);
      }
    }
  }
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = broken();
  for (const line of found) console.error(line);
  if (found.length > 0) process.exitCode = 1;
}
