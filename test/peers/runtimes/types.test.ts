import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { install, type Installed } from './installed.ts';
import { binaryOf } from './locate.ts';

const LIMIT = 120_000;
const file = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const COMPILERS = {
  'TypeScript 5.9': file('scripts/api/node_modules/typescript/bin/tsc'),
  'TypeScript 7': file('node_modules/.bin/tsc'),
};

let installed: Installed;

beforeAll(() => {
  installed = install();
  // The types of Node that a program has, if it asks for them.
  mkdirSync(join(installed.folder, 'node_modules/@types'), { recursive: true });
  symlinkSync(file('node_modules/@types/node'), join(installed.folder, 'node_modules/@types/node'));
  symlinkSync(
    file('node_modules/undici-types'),
    join(installed.folder, 'node_modules/undici-types'),
  );
}, LIMIT);

afterAll(() => installed.remove());

/** What a program for Node makes of the package, and what it may not. */
const FOR_NODE = `
import { extractBlock, proxy, receive, record, replay, send, type MigrationStatistics } from 'multifd';
import { Guest } from 'multifd/live';
import { openImage } from 'multifd/image';
import { compileCore } from 'multifd/core';
import { Engine, inlineLauncher } from 'multifd/engine';

export async function main(): Promise<number> {
  const source = new SharedArrayBuffer(65536);
  const sent: MigrationStatistics = await send({ uri: 'tcp:h:1', blocks: [{ id: 'ram', source }] });
  // @ts-expect-error
  await send({ uri: 'tcp:h:1', blocks: [{ id: 'ram', source: 5 }] });
  // @ts-expect-error
  await send({ uri: 'tcp:h:1', blocks: [{ id: 'ram', source: { path: 5 } }] });
  // @ts-expect-error
  await receive({ uri: 'tcp:h:1', blocks: { ram: 'not memory' } });
  const { completed } = await record({ uri: 'tcp:h:1', path: 'folder' });
  await replay({ uri: 'tcp:h:1', path: 'folder' });
  await proxy({ from: 'tcp:h:1', to: 'tcp:h:2' });
  await extractBlock('image', 'ram', 'file');
  const image = await openImage('image');
  // @ts-expect-error
  image.pageSize = 'none';
  new Guest({ blocks: [{ id: 'heap', memory: source }], stop() {}, resume() {} });
  void [completed, compileCore, Engine, inlineLauncher];
  return sent.ram.total;
}
`;

/** What a program for a page makes of it. */
const FOR_PAGE = `
import { ConnectionQueue, opfsImage, receive, send } from 'multifd/browser';
const folder = await navigator.storage.getDirectory();
const inbox = new ConnectionQueue();
const memory = new WebAssembly.Memory({ initial: 1 });
void (await receive({ inbox, blocks: { heap: memory } })).close();
await using incoming = await receive({ inbox, image: opfsImage(folder, 'image') });
for await (const { ram } of incoming.progress) console.log(ram.total);
const sending = send({ uri: 'ws://localhost/', image: await folder.getFileHandle('image') });
for await (const { ram } of sending.progress) console.log(ram.total);
console.log((await sending).confirmed);
export {};
`;

const DOM = ['dom', 'dom.asynciterable'];
const RESOLUTIONS = {
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
  node16: { module: 'node16', moduleResolution: 'node16' },
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  /** As it was before exports; TypeScript 7 has it no more. */
  node10: { module: 'esnext', moduleResolution: 'node10', ignoreDeprecations: '5.0' },
};

/** Each is a program of its own, in a folder of its own. */
const PROGRAMS = [
  ...(['bundler', 'node16', 'nodenext', 'node10'] as const).flatMap((resolution) =>
    [true, false].map((dom) => ({ resolution, dom, text: FOR_NODE, types: ['node'] })),
  ),
  { resolution: 'bundler', dom: true, text: FOR_PAGE, types: [] },
] as const;

const CASES = Object.keys(COMPILERS).flatMap((compiler) =>
  PROGRAMS.filter(({ resolution }) => compiler !== 'TypeScript 7' || resolution !== 'node10').map(
    (program) => ({
      ...program,
      compiler: compiler as keyof typeof COMPILERS,
      what: program.text === FOR_PAGE ? 'a page' : 'Node',
      having: program.dom ? 'with dom' : 'without dom',
    }),
  ),
);

test.for(CASES)(
  'a program for $what compiles with $compiler, by $resolution, $having',
  { timeout: LIMIT },
  ({ compiler, resolution, dom, text, types, what, having }) => {
    const name = `types-${compiler}-${resolution}-${what}-${having}`.replaceAll(' ', '-');
    const folder = join(installed.folder, name);
    mkdirSync(folder);
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    writeFileSync(join(folder, 'main.ts'), text);
    const compilerOptions = {
      target: 'es2022',
      lib: ['es2022', 'es2024.sharedmemory', ...(dom ? DOM : [])],
      ...RESOLUTIONS[resolution],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      types,
      noEmit: true,
    };
    const config = JSON.stringify({ compilerOptions, files: ['main.ts'] });
    writeFileSync(join(folder, 'tsconfig.json'), config);
    const args = [COMPILERS[compiler], '-p', folder];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(stdout).toBe('');
  },
);

test('Deno finds the types of a module by its address, as JSR does', {
  timeout: LIMIT,
}, (context) => {
  const deno = binaryOf('deno', context);
  // In node_modules it would go by the exports.
  cpSync(installed.package, join(installed.folder, 'jsr'), { recursive: true });
  const main = join(installed.folder, 'by-address.ts');
  const text = `
import { send } from './jsr/build/index.js';
import { instantiateCore } from './jsr/build/core.js';
// @ts-expect-error
export const wrong: number = send;
export const right: Promise<unknown> = instantiateCore(new WebAssembly.Memory({ initial: 1 }));
`;
  writeFileSync(main, text);
  const { status, stderr } = spawnSync(deno, ['check', main], {
    cwd: installed.folder,
    encoding: 'utf8',
  });
  expect([status, stderr.includes('error')]).toEqual([0, false]);
});
