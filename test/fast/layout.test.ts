import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { broken } from '../../scripts/layout.mjs';

/** A made-up project in which nothing breaks a rule, but for what `files` hold. */
async function treeOf(files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'multifd-layout-'));
  onTestFinished(() => rm(root, { recursive: true }));
  const all = {
    'package.json': JSON.stringify({
      imports: { '#threads': { browser: './none.ts', default: './src/engine/threads/node.ts' } },
    }),
    'assembly/pages.ts': 'export {};\n',
    'src/util/errors.ts': 'export {};\n',
    'src/engine/threads/node.ts': "import { MultifdError } from '../../util/errors.ts';\n",
    'src/engine/index.ts': "import { start } from '#threads';\n",
    'src/cli/main.ts': "import { Engine } from '../engine/index.ts';\n",
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

test('the project keeps to its layout', () => {
  expect(broken()).toEqual([]);
});

test('a tree that keeps to it has nothing to tell', async () => {
  expect(broken(await treeOf({ 'src/util/wide.ts': `// ${'x'.repeat(97)}\n` }))).toEqual([]);
});

test.each([
  {
    what: 'an import that goes up',
    files: { 'src/util/deadline.ts': "import { Engine } from '../engine/index.ts';\n" },
    told: ['src/util/deadline.ts imports up: src/engine/index.ts'],
  },
  {
    what: 'one by a name of package.json',
    files: { 'src/util/deadline.ts': "import { start } from '#threads';\n" },
    told: ['src/util/deadline.ts imports up: src/engine/threads/node.ts'],
  },
  {
    what: 'one that is done when it is needed',
    files: { 'src/util/deadline.ts': "const engine = await import('../engine/index.ts');\n" },
    told: ['src/util/deadline.ts imports up: src/engine/index.ts'],
  },
  {
    what: "one runtime's file by its path",
    files: { 'src/cli/main.ts': "import { start } from '../engine/threads/node.ts';\n" },
    told: ["src/cli/main.ts imports one runtime's file: src/engine/threads/node.ts"],
  },
  {
    what: 'a line of 101 columns',
    files: {
      'src/util/wide.ts': `\n// ${'x'.repeat(98)}\n`,
      'assembly/wide.ts': `// ${'x'.repeat(98)}`,
    },
    told: ['src/util/wide.ts:2 has 101 columns', 'assembly/wide.ts:1 has 101 columns'],
  },
  {
    what: 'a folder that the layout does not have',
    files: { 'src/host/files.ts': 'export {};\n' },
    told: ['src/host/files.ts is in no folder of the layout'],
  },
])('$what is found', async ({ files, told }) => {
  expect(broken(await treeOf(files))).toEqual(told);
});
