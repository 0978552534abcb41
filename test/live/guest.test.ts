import { Guest, receive } from 'multifd';
import { describe, expect, test } from 'vitest';
import { Random, SEED } from '../support/random.ts';
import { writer } from './support.ts';

const PAGE = 65536;

describe(`a running guest, SEED ${SEED}`, () => {
  test.each(['compare', 'hash'] as const)('arrives as it was stopped, by %s', async (tracking) => {
    const random = new Random(SEED);
    const memory = new WebAssembly.Memory({ initial: 64 });
    for (let i = 0; i < 40 * PAGE; i += 4096) new DataView(memory.buffer).setUint32(i, i, true);
    const guest = writer(memory, random, 10);
    const target = new WebAssembly.Memory({ initial: 64 });
    const order: string[] = [];
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', channels: 4, blocks: { ram: target }, onDeviceState: ({ data }) => void order.push(Buffer.from(data).toString()) });
    const live = new Guest({
      blocks: [{ id: 'ram', memory, tracking }],
      stop: guest.stop,
      resume: guest.resume,
      deviceState: () => [{ idstr: 'x', instanceId: 1, data: Buffer.from('hello') }],
    });
    const rounds: unknown[] = [];
    const statistics = await live.migrate({ uri: incoming.uri, channels: 4, downtimeLimit: 20, onRound: (round) => rounds.push(round) });
    await incoming.completed;
    expect(Buffer.from(target.buffer).equals(Buffer.from(memory.buffer))).toBe(true);
    expect(order).toEqual(['hello']);
    expect(guest.writes).toBeGreaterThan(0);
  });
});
