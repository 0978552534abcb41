import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  ByteReader,
  type ByteSource,
  Command,
  parseMainStream,
  type RamBlock,
  readTail,
  returnMessage,
} from '../../../src/stream/index.ts';
import { Qemu, qemuAvailable } from '../../support/qemu.ts';
import { bytes, recorder } from '../../support/stream.ts';

/** A socket as a ByteSource, with the bytes already taken from it put back in front. */
function socketSource(socket: Socket, taken: Uint8Array): ByteSource {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let left: Uint8Array = taken;
  return {
    async read(into) {
      if (left.length === 0) left = (await chunks.next()).value ?? left;
      const piece = left.subarray(0, into.length);
      into.set(piece);
      left = left.subarray(piece.length);
      return piece.length;
    },
  };
}

/** Takes the connections of a migration: gives the main one, and lets the others run dry. */
async function listen(): Promise<{
  uri: string;
  main: Promise<{ socket: Socket; source: ByteSource }>;
}> {
  const where = await mkdtemp(join(tmpdir(), 'multifd-stream-'));
  const server: Server = createServer();
  const sockets: Socket[] = [];
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(where, { recursive: true });
  });
  const main = new Promise<{ socket: Socket; source: ByteSource }>((resolve) => {
    server.on('connection', (socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.once('readable', () => {
        const first: Buffer = socket.read();
        if (first.subarray(0, 4).toString() === 'QEVM')
          resolve({ socket, source: socketSource(socket, first) });
        else socket.resume();
      });
    });
  });
  const path = join(where, 'socket');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { uri: `unix:${path}`, main };
}

describe.skipIf(!qemuAvailable())("a real QEMU's main stream", () => {
  test.each([
    ['pc', 'multifd', 'per-round'],
    ['pc', 'legacy', 'per-round'],
    ['pc-i440fx-7.2', 'multifd', 'per-section'],
    ['pc-i440fx-7.2', 'legacy', 'per-section'],
  ])(
    'of %s with zero-page-detection %s is parsed to its end, and answered',
    async (machine, detection, syncMode) => {
      const { uri, main } = await listen();
      const qemu = await Qemu.start({ machine });
      onTestFinished(() => qemu.stop());
      await qemu.capabilities('multifd', 'return-path');
      await qemu.command('migrate-set-parameters', {
        'zero-page-detection': detection,
        'multifd-channels': 2,
      });
      await qemu.command('migrate', { uri });

      const { socket, source } = await main;
      const { events, handler, tail } = recorder();
      const summary = await parseMainStream(new ByteReader(source), handler);
      socket.write(returnMessage({ type: 'shut', status: 0 }));
      expect(await qemu.migrationEnd(), qemu.stderr).toBe('completed');

      expect(summary.syncMode).toBe(syncMode);
      expect(events).toContainEqual(['command', Command.OPEN_RETURN_PATH, []]);
      const blocks = events.find(([name]) => name === 'blocks')?.[1] as readonly RamBlock[];
      expect(blocks[0]).toEqual({ id: 'pc.ram', usedLength: 64 * 1024 * 1024 });
      const zeros = events.filter(([name]) => name === 'zero');
      expect(zeros.length > 0).toBe(detection === 'legacy');
      // The machine never ran: all its RAM is zero, and each page is sent once at least.
      if (detection === 'legacy')
        expect(
          new Set(zeros.map(([, block, offset]) => block === 0 && offset)).size,
        ).toBeGreaterThan(16_000);
      expect(events.some(([name]) => name === 'flush')).toBe(syncMode === 'per-round');
      expect(events.filter(([name]) => name === 'end').at(-1)).toEqual(['end', 'end', syncMode]);
      const { sections, length } = readTail(bytes(tail()));
      expect(length).toBe(summary.tailLength);
      expect(sections?.length).toBeGreaterThan(20);
    },
  );
});
