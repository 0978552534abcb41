import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { install, type Installed } from './installed.ts';
import { binaryOf } from './locate.ts';

const LIMIT = 120_000;

let installed: Installed;

beforeAll(() => {
  installed = install();
  const readme = readFileSync(join(installed.package, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, text]) => text!);
  writeFileSync(
    join(installed.folder, 'example.mjs'),
    blocks.find((text) => text.includes('inlineLauncher'))!,
  );
}, LIMIT);

afterAll(() => installed.remove());

// Nothing but a wait for the engine keeps such a program there.
test.for([
  ['node20', []],
  ['node26', []],
  ['deno', ['run', '-A']],
  ['bun', []],
] as const)(
  "README's engine ends in %s when it has done its work",
  { timeout: LIMIT },
  ([runtime, flags], context) => {
    const path = binaryOf(runtime, context);
    const { stdout, stderr } = spawnSync(path, [...flags, 'example.mjs'], {
      cwd: installed.folder,
      encoding: 'utf8',
    });
    expect([stdout, stderr]).toEqual(['5050\n', '']);
  },
);
