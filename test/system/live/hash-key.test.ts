import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Guest, hashScratchBytes, receive } from 'multifd';
import { afterEach, expect, test, vi } from 'vitest';
import { folder } from '../../support/image.ts';
import { Random } from '../../support/random.ts';

const PAGE = 4096;
const SEED = 22;
/** More than a segment of pages for each of three threads. */
const WASM_PAGES = 256;
/** No page begins here: what is lent shares its first and its last page with the guest. */
const OFFSET = 700 * PAGE + 1040;

/** What every key of this test's is made of. */
const KEY = Buffer.from(
  Array.from({ length: 8192 }, (_, at) => (at * 167 + (at >> 8) * 31 + 97) & 0xff),
);

afterEach(() => void vi.restoreAllMocks());

function knownKeys(): void {
  vi.spyOn(crypto, 'getRandomValues').mockImplementation((view) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    bytes.set(KEY.subarray(0, bytes.length));
    return view;
  });
}

/** Whether any piece of the key is there, at any place. */
function hasKey(bytes: Uint8Array): boolean {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 32 <= PAGE; at += 32)
    if (all.includes(KEY.subarray(at, at + 32))) return true;
  return false;
}

test.each([1, 3])(
  'the key of hashes leaves neither for a target nor for a snapshot, with %i threads',
  async (scanThreads) => {
    knownKeys();
    const random = new Random(SEED);
    const memory = new WebAssembly.Memory({
      initial: WASM_PAGES,
      maximum: WASM_PAGES,
      shared: true,
    });
    const bytes = new Uint8Array(memory.buffer);
    const lent = hashScratchBytes(PAGE, scanThreads);
    const isLent = (at: number): boolean => at >= OFFSET && at < OFFSET + lent;
    const write = (): void => {
      for (let n = 0; n < 200; n++) {
        const at = random.below(bytes.length);
        if (!isLent(at)) bytes[at] = random.below(256);
      }
      // Beside what is lent, on the same pages.
      for (const at of [OFFSET - 1, OFFSET + lent]) bytes[at]!++;
    };
    write();
    const path = join(await folder(), 'image');
    const guest = new Guest({
      blocks: [{ id: 'ram', memory, tracking: 'hash', scratch: OFFSET }],
      scanThreads,
      stop() {},
      resume() {},
    });
    const rounds = { maxRounds: 4, onMaxRounds: 'stop', downtimeLimit: 0, onRound: write } as const;
    for (let n = 0; n < 2; n++) {
      await guest.snapshot({ path, ...rounds });
      expect(hasKey(await readFile(path))).toBe(false);
    }
    const target = new Uint8Array(bytes.length).fill(7);
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks: { ram: target } });
    await guest.migrate({ uri: incoming.uri, ...rounds });
    await incoming.completed;
    expect(hasKey(target)).toBe(false);
    // Zeros stand for what is lent, and nothing else is lost.
    expect(bytes.subarray(OFFSET, OFFSET + lent).every((byte) => byte === 0)).toBe(true);
    expect(Buffer.compare(target, bytes)).toBe(0);
  },
);
