import { MultifdError, receive } from 'multifd';
import { describe, expect, it } from 'vitest';
import { Source, Wire } from '../support/peer.ts';
import { be32, concat, end, endOfFile, endOfSection, flush, header, initialPacket, part, patched, ramPacket, start, syncPacket, text } from '../support/wire.ts';
import { errorOf, leavingNothing, PAGE, pageOf, receiving, type SourceScript, withFolder } from './support.ts';

const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

/** Connections that say these bytes, in this order. */
const saying =
  (...beginnings: Uint8Array[]): SourceScript =>
  async (uri) => {
    const wires: Wire[] = [];
    for (const beginning of beginnings) {
      const wire = await Wire.open(uri);
      await wire.putAll(beginning);
      wires.push(wire);
    }
    return {
      async close() {
        for (const wire of wires) wire.destroy();
        await Promise.all(wires.map(({ closed }) => closed));
      },
    };
  };

const MAIN = header();
const START = concat(start([{ id: 'ram', length: PAGE }]), flush(), endOfSection());

describe('connections are refused', () => {
  it.each([
    { what: 'with another version', script: saying(patched(initialPacket(1), 4, be32(2))), code: 'ERR_VERSION', channel: 1, field: 'version' },
    { what: 'of another VM', script: saying(initialPacket(0, UUID)), code: 'ERR_UUID', channel: 0, field: 'uuid' },
    { what: 'of a VM without a uuid', script: saying(initialPacket(0)), code: 'ERR_UUID', channel: 0, field: 'uuid', options: { uuid: UUID } },
    { what: 'with a uuid that differs in its last byte', script: saying(initialPacket(0, patched(UUID, 15, Uint8Array.of(0)))), code: 'ERR_UUID', channel: 0, field: 'uuid', options: { uuid: UUID } },
    { what: 'with a channel id twice', script: saying(initialPacket(1), initialPacket(1)), code: 'ERR_CHANNEL_ID', channel: 1 },
    { what: 'with the first id that is out of range', script: saying(MAIN, initialPacket(0), initialPacket(2)), code: 'ERR_CHANNEL_ID', channel: 2, field: 'id' },
    { what: 'with the last id that is out of range', script: saying(initialPacket(255)), code: 'ERR_CHANNEL_ID', channel: 255, field: 'id' },
    { what: 'as a channel more than agreed', script: saying(MAIN, initialPacket(0), initialPacket(1), initialPacket(2)), code: 'ERR_CHANNEL_ID', channel: 2, field: 'id' },
    { what: 'as a channel too many with an id that is taken', script: saying(MAIN, initialPacket(0), initialPacket(1), initialPacket(0)), code: 'ERR_CHANNEL_ID', channel: 0 },
    { what: 'as a channel too many when pages are on their way', script: saying(concat(MAIN, START), concat(initialPacket(0), syncPacket()), concat(initialPacket(1), syncPacket()), initialPacket(2)), code: 'ERR_CHANNEL_ID', channel: 2, field: 'id' },
    { what: 'as a second main channel', script: saying(MAIN, MAIN), code: 'ERR_CHANNEL_COUNT', channel: 'main' },
    { what: 'as a second main channel when all are there', script: saying(MAIN, initialPacket(0), initialPacket(1), MAIN), code: 'ERR_CHANNEL_COUNT', channel: 'main' },
  ])('$what', async ({ script, code, channel, field, options = {} }) => {
    await leavingNothing(async () => {
      const { error, strangers } = await receiving(options, script);
      expect(error).toMatchObject({ code, channel, ...(field !== undefined && { field, offset: 0 }) });
      expect(strangers).toEqual([]);
    });
  });

  it.each([
    { what: 'a channel', script: saying(MAIN, initialPacket(1)), message: '1 of 2 channels', channel: undefined },
    { what: 'all channels', script: saying(concat(MAIN, start([{ id: 'ram', length: PAGE }]))), message: '0 of 2 channels', channel: undefined },
    { what: 'the main channel', script: saying(initialPacket(1), initialPacket(0)), message: 'main channel', channel: 'main' as const },
  ])('when $what does not come in time', async ({ script, message, channel }) => {
    await leavingNothing(async () => {
      const { error } = await receiving({ timeout: 300 }, script);
      expect(error).toMatchObject({ code: 'ERR_CHANNEL_COUNT', channel });
      expect(error?.message).toContain(message);
    });
  });

  it('when all are there and nobody says anything', async () => {
    await leavingNothing(async () => {
      const { error } = await receiving({ timeout: 300 }, (uri) => Source.connect(uri, 2).then((source) => (source.main.put(MAIN), source)));
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
    });
  });

  it('when a channel falls silent in the middle of a packet', async () => {
    await leavingNothing(async () => {
      for (const inline of [true, false]) {
        const { error } = await receiving({ timeout: 300, inline }, async (uri) => {
          const source = await Source.connect(uri, 2);
          source.main.put(MAIN, start([{ id: 'ram', length: PAGE }]), flush(), endOfSection());
          source.channels[0]!.put(syncPacket().subarray(0, 700));
          return source;
        });
        expect(error).toMatchObject({ code: 'ERR_TIMEOUT' });
      }
    });
  });
});

describe('strangers on the port', () => {
  const garbage: [what: string, bytes: Uint8Array, why: string][] = [
    ['a web browser', text('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), 'not those of a migration'],
    ['TLS', Uint8Array.of(0x16, 3, 1, 2, 0, 1), 'not those of a migration'],
    ['four zeros', new Uint8Array(4), 'not those of a migration'],
    ['a magic of the other byte order', Uint8Array.of(0x44, 0x33, 0x22, 0x11), 'not those of a migration'],
    ['a megabyte of anything', new Uint8Array(1 << 20).fill(0x5a), 'not those of a migration'],
  ];

  it.each(garbage)('%s: dropped and told, and the migration that comes after is taken', async (_, bytes, why) => {
    const memory = new Uint8Array(PAGE);
    await leavingNothing(async () => {
      const { error, strangers } = await receiving({ blocks: { ram: memory } }, async (uri) => {
        const stranger = await Wire.open(uri);
        stranger.put(bytes);
        await stranger.dropped();
        return migrate(uri);
      });
      expect(error).toBeUndefined();
      expect(strangers).toEqual([expect.stringContaining(why)]);
    });
    expect(memory).toEqual(pageOf(3));
  });

  it('who say nothing, or half an initial packet, are dropped after the time-out; listening goes on', async () => {
    const memory = new Uint8Array(PAGE);
    await leavingNothing(async () => {
      const { error, strangers } = await receiving({ blocks: { ram: memory }, timeout: 300 }, async (uri) => {
        const silent = await Promise.all([new Uint8Array(0), text('QEV'), initialPacket(0).subarray(0, 63)].map((bytes) => saying(bytes)(uri)));
        const wires = await Promise.all([0, 1].map(() => Wire.open(uri)));
        await Promise.all(wires.map((wire) => wire.dropped()));
        await Promise.all(silent.map((peer) => peer.close()));
        return migrate(uri);
      });
      expect(error).toBeUndefined();
      expect(strangers).toHaveLength(5);
      for (const why of strangers) expect(why).toContain('did not say what it is within 0.3 s');
    });
    expect(memory).toEqual(pageOf(3));
  });

  it('who are still silent when the migration is under way are dropped without a word', async () => {
    await leavingNothing(async () => {
      const { error, strangers } = await receiving({ blocks: { ram: new Uint8Array(PAGE) } }, async (uri) => {
        const silent = await Wire.open(uri);
        const source = await migrate(uri);
        await silent.dropped();
        return source;
      });
      expect(error).toBeUndefined();
      expect(strangers).toEqual([]);
    });
  });

  it('do not disturb a migration that is under way', async () => {
    const memory = new Uint8Array(PAGE);
    await leavingNothing(async () => {
      const { error, strangers } = await receiving({ blocks: { ram: memory } }, async (uri) => {
        const source = await Source.connect(uri, 2);
        source.main.put(MAIN, START);
        source.toAll(syncPacket());
        const stranger = await Wire.open(uri);
        stranger.put(text('SSH-2.0-x\r\n'));
        await stranger.dropped();
        finish(source);
        return source;
      });
      expect(error).toBeUndefined();
      expect(strangers).toHaveLength(1);
    });
    expect(memory).toEqual(pageOf(3));
  });
});

describe('listening', () => {
  it('on an address that is taken is refused, and leaves no image', async () => {
    await leavingNothing(async () => {
      await withFolder(async (folder) => {
        const first = await receive({ uri: 'tcp:127.0.0.1:0', blocks: {}, signal: AbortSignal.timeout(1_000) });
        expect(await errorOf(receive({ uri: first.uri, image: `${folder}/image` }))).toMatchObject({ code: 'ERR_LISTEN' });
        expect(await errorOf(first.completed)).toMatchObject({ code: 'ERR_CANCELLED' });
      });
    });
  });

  it('on the Unix socket of another process that listens is refused; on one left behind by the dead it is not', async () => {
    await withFolder(async (folder) => {
      const uri = `unix:${folder}/socket`;
      const abort = new AbortController();
      const first = await receive({ uri, blocks: {}, signal: abort.signal });
      expect(await errorOf(receive({ uri, blocks: {} }))).toMatchObject({ code: 'ERR_LISTEN' });
      abort.abort();
      expect(await errorOf(first.completed)).toBeInstanceOf(MultifdError);
      const stop = new AbortController();
      const second = await receive({ uri, blocks: {}, signal: stop.signal });
      stop.abort();
      expect(await errorOf(second.completed)).toMatchObject({ code: 'ERR_CANCELLED' });
    });
  });
});

/** One page, over two channels. */
async function migrate(uri: string): Promise<Source> {
  const source = await Source.connect(uri, 2);
  source.main.put(MAIN, START);
  source.toAll(syncPacket());
  finish(source);
  return source;
}

/** All that comes after the first sync. */
function finish(source: Source): void {
  source.channels[1]!.put(ramPacket({ block: 'ram', normal: [0] }, pageOf(3)));
  source.toAll(syncPacket());
  source.main.put(part(), flush(), endOfSection(), end(), endOfSection(), endOfFile());
}
