import { Guest, receive, type Tracking } from 'multifd';
import { expect, test } from 'vitest';
import { PAGE, withFolder } from '../../support/migration.ts';

const PAGES = 48;
const PLACE = 20;

async function load(path: string): Promise<Buffer> {
  const bytes = new Uint8Array(PAGES * PAGE);
  const incoming = await receive({ uri: `file:${path}`, blocks: { ram: bytes } });
  await incoming.completed;
  return Buffer.from(bytes.buffer);
}

test.each(['compare', 'hash', 'bitmap'] as const)(
  'a page that was zero for one snapshot, and is what it was before in the next, by %s',
  (method) =>
    withFolder(async (folder) => {
      const memory = new WebAssembly.Memory({ initial: (PAGES * PAGE) / 65536 });
      const bytes = new Uint8Array(memory.buffer).fill(1);
      let written = new Uint8Array(PAGES / 8);
      const log = {
        take() {
          const taken = written;
          written = new Uint8Array(PAGES / 8);
          return taken;
        },
      };
      const tracking: Tracking = method === 'bitmap' ? log : method;
      const guest = new Guest({
        blocks: [{ id: 'ram', memory, tracking }],
        stop() {},
        resume() {},
      });
      const path = `${folder}/guest.img`;
      for (const content of [7, 0, 7, 8]) {
        bytes.fill(content, PLACE * PAGE, (PLACE + 1) * PAGE);
        written[PLACE >> 3]! |= 1 << (PLACE & 7);
        await guest.snapshot({ path, inline: true });
        expect((await load(path)).equals(Buffer.from(memory.buffer))).toBe(true);
      }
    }),
);
