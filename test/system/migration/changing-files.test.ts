import { closeSync, openSync, truncateSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { chmod, link, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { receive, send, type BlockTargets, type OutgoingOptions } from 'multifd';
import { describe, expect, it } from 'vitest';
import { writeImage } from '../../support/image.ts';
import { errorOf, LAUNCHERS, leavingNothing, PAGE, withFolder } from '../../support/migration.ts';

const MIB = 1024 * 1024;
const LENGTH = 2 * MIB;
/** Where pages of {@link content} are not zero: a lone one, and a run that goes on to the end. */
const present = [1, ...Array.from({ length: 300 }, (_, page) => LENGTH / PAGE - 300 + page)];

function content(): Uint8Array {
  const all = new Uint8Array(LENGTH);
  for (const page of present) all.fill((page % 250) + 1, page * PAGE, (page + 1) * PAGE);
  return all;
}

/** A file's times tell what happened to it, in steps: this one was last written long ago. */
function settle(path: string): void {
  utimesSync(path, 1_000, 1_000);
}

function overwrite(path: string, position: number, length: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, new Uint8Array(length).fill(251), 0, length, position);
  closeSync(fd);
}

/** The first progress is told when everything is open, and no page has been read. */
function onceOpen(change: () => void): () => void {
  let changed = false;
  return () => {
    if (!changed) change();
    changed = true;
  };
}

const sources = [
  {
    what: 'a file',
    /** Of its bytes that hold pages. */
    from: 0,
    async make(path: string): Promise<Pick<OutgoingOptions, 'blocks'>> {
      await writeFile(path, content());
      return { blocks: [{ id: 'ram', source: { path } }] };
    },
  },
  {
    what: 'an image',
    from: MIB,
    async make(path: string): Promise<Pick<OutgoingOptions, 'image'>> {
      await writeImage(path, [{ id: 'ram', content: content() }]);
      return { image: path };
    },
  },
];

const changes = [
  {
    how: 'cut short',
    change: (path: string, from: number) => truncateSync(path, from + LENGTH / 2),
    says: /shorter.*offset \d+/,
  },
  {
    how: 'cut to nothing',
    change: (path: string) => truncateSync(path, 0),
    says: /shorter.*offset \d+/,
  },
  {
    how: 'written to',
    change: (path: string, from: number) => overwrite(path, from + LENGTH - 100, 100),
    says: /has changed/,
  },
  {
    how: 'lengthened',
    change: (path: string) => writeFileSync(path, 'more', { flag: 'a' }),
    says: /has changed/,
  },
];

const cases = sources.flatMap((source) => changes.map((change) => ({ ...source, ...change })));

describe.each(LAUNCHERS)('$name', ({ inline }) => {
  const zeroPages = ['multifd', 'legacy', 'none'] as const;

  it.each(cases)('$what that is $how while it is sent fails both ends', async (one) => {
    const { make, from, change, says } = one;
    for (const zeroPageDetection of zeroPages) {
      await withFolder((folder) =>
        leavingNothing(async () => {
          const path = join(folder, 'source');
          const source = await make(path);
          settle(path);
          const blocks = { ram: new SharedArrayBuffer(LENGTH) };
          const uri = `unix:${join(folder, 'socket')}`;
          const incoming = await receive({ uri, blocks, inline });
          const onProgress = onceOpen(() => change(path, from));
          const sent = send({ ...source, uri, inline, zeroPageDetection, onProgress });
          const error = await errorOf(sent);
          expect(error).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining(path) });
          expect(error.message).toMatch(says);
          expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_PEER_CLOSED' });
        }),
      );
    }
  });

  it.each(cases)('$what that is $how while it is copied leaves no image', async (one) => {
    const { make, from, change, says } = one;
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'source');
        const source = await make(path);
        settle(path);
        const onProgress = onceOpen(() => change(path, from));
        const uri = `file:${join(folder, 'image')}`;
        const error = await errorOf(send({ ...source, uri, inline, onProgress }));
        expect(error).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining(path) });
        expect(error.message).toMatch(says);
        expect(await readdir(folder)).toEqual(['source']);
      }),
    );
  });

  const memories: { where: string; target: () => BlockTargets }[] = [
    { where: 'shared memory', target: () => ({ ram: new SharedArrayBuffer(LENGTH) }) },
    { where: 'memory', target: () => ({ ram: new ArrayBuffer(LENGTH) }) },
    { where: 'a sink', target: () => ({ ram: { write() {}, zero() {} } }) },
  ];
  const loads = cases
    .filter(({ what }) => what === 'an image')
    .flatMap((one) => memories.map((memory) => ({ ...one, ...memory })));

  it.each(loads)(
    '$what that is $how while it is loaded into $where starts nothing',
    async (one) => {
      const { make, from, change, says, target } = one;
      await withFolder((folder) =>
        leavingNothing(async () => {
          const path = join(folder, 'source');
          await make(path);
          settle(path);
          let started = false;
          const incoming = await receive({
            uri: `file:${path}`,
            blocks: target(),
            inline,
            onProgress: onceOpen(() => change(path, from)),
            start: () => void (started = true),
          });
          const error = await errorOf(incoming.completed);
          expect(error).toMatchObject({ code: 'ERR_IO', message: expect.stringContaining(path) });
          expect(error.message).toMatch(says);
          expect(started).toBe(false);
        }),
      );
    },
  );

  it.each(sources)('$what whose name, links and permissions change is sent', async ({ make }) => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'source');
        const source = await make(path);
        settle(path);
        const memory = new SharedArrayBuffer(LENGTH);
        // They are asked for once the source has opened its file, before any page of it comes.
        const blocks = async (): Promise<SharedArrayBuffer> => {
          await chmod(path, 0o600);
          await link(path, `${path}.link`);
          await rename(path, `${path}.moved`);
          await writeFile(path, 'another file by that name');
          await rm(`${path}.moved`);
          return memory;
        };
        const incoming = await receive({ uri: `unix:${join(folder, 'socket')}`, blocks, inline });
        await send({ ...source, uri: incoming.uri, inline });
        await incoming.completed;
        expect(Buffer.compare(new Uint8Array(memory), content())).toBe(0);
      }),
    );
  });
});

/** More than connections and slots hold: most of it is unread when the first page has come. */
const LARGE = 64 * MIB;

describe.each([
  { how: 'cut short', change: (path: string) => truncateSync(path, 0), says: 'shorter' },
  // All that is read afterwards is of the new state, all before of the old one.
  { how: 'written to', change: (path: string) => overwrite(path, 0, LARGE), says: 'has changed' },
])('a file that is $how when its first pages have come', ({ change, says }) => {
  it.each(LAUNCHERS)('fails both ends, $name', async ({ inline }) => {
    await withFolder((folder) =>
      leavingNothing(async () => {
        const path = join(folder, 'source');
        await writeFile(path, new Uint8Array(LARGE).fill(1));
        settle(path);
        const write = onceOpen(() => change(path));
        const blocks = { ram: { write, zero() {} } };
        const incoming = await receive({ uri: `unix:${join(folder, 'socket')}`, blocks });
        const sent = send({ uri: incoming.uri, blocks: [{ id: 'ram', source: { path } }], inline });
        const refused = { code: 'ERR_IO', message: expect.stringContaining(says) };
        expect(await errorOf(sent)).toMatchObject(refused);
        expect(await errorOf(incoming.completed)).toMatchObject({ code: 'ERR_PEER_CLOSED' });
      }),
    );
  });
});

it('what lies behind the end of a file when it is opened is zero', async () => {
  await withFolder((folder) =>
    leavingNothing(async () => {
      const path = join(folder, 'source');
      await writeFile(
        path,
        content()
          .fill(7, LENGTH - PAGE, LENGTH - 1)
          .subarray(0, LENGTH - 1),
      );
      for (const { inline } of LAUNCHERS) {
        for (const zeroPageDetection of ['multifd', 'legacy', 'none'] as const) {
          const memory = new Uint8Array(LENGTH).fill(0xcc);
          const uri = `unix:${join(folder, 'socket')}`;
          const incoming = await receive({ uri, blocks: { ram: memory } });
          const blocks = [{ id: 'ram', source: { path } }];
          await send({ uri, blocks, inline, zeroPageDetection });
          await incoming.completed;
          expect(Array.from(memory.subarray(LENGTH - 2))).toEqual([7, 0]);
        }
      }
    }),
  );
});

it('what an image holds where its bitmap has no page is not sent', async () => {
  await withFolder((folder) =>
    leavingNothing(async () => {
      const image = join(folder, 'image');
      await writeImage(image, [{ id: 'ram', content: content() }]);
      // Left over, as from a page that has become zero since.
      const handle = await open(image, 'r+');
      await handle.write(new Uint8Array(PAGE).fill(99), 0, PAGE, MIB + 3 * PAGE);
      await handle.close();
      for (const { inline } of LAUNCHERS) {
        for (const zeroPageDetection of ['multifd', 'legacy', 'none'] as const) {
          const memory = new Uint8Array(LENGTH).fill(0xcc);
          const uri = `unix:${join(folder, 'socket')}`;
          const incoming = await receive({ uri, blocks: { ram: memory } });
          await send({ uri, image, inline, zeroPageDetection });
          await incoming.completed;
          const same = Buffer.compare(memory, content());
          expect(same, `inline ${inline}, detection ${zeroPageDetection}`).toBe(0);
        }
      }
    }),
  );
});
