import { send } from 'multifd';
import { describe, expect, test } from 'vitest';
import { machineRules, parseMainStream } from '../../../src/stream/index.ts';
import { Target } from '../../support/peer.ts';
import { readerOf, recorder } from '../../support/stream.ts';

const PAGE = 4096;
const CHANNELS = 2;

const SYNC_MODES = [
  ['pc-i440fx-2.12', 'per-section'],
  ['pc-i440fx-7.2', 'per-section'],
  ['pc-i440fx-8.0', 'per-section'],
  ['pc-q35-8.0', 'per-section'],
  ['pc-i440fx-8.1', 'per-round'],
  ['pc-q35-8.1', 'per-round'],
  ['virt-8.10', 'per-round'],
  ['pc-q35-7.10', 'per-section'],
  ['pc-q35-9.0', 'per-round'],
  ['pc-i440fx-10.0', 'per-round'],
  ['pc-q35-11.1', 'per-round'],
  ['none', 'per-round'],
  ['microvm', 'per-round'],
  ['8.0', 'per-round'],
  ['pc-8.0-like', 'per-round'],
] as const;

test.each(SYNC_MODES)('a target of machine type %s is synced %s', (machine, syncMode) => {
  expect(machineRules(machine)).toMatchObject({ syncMode });
});

test.each([
  ['pc-i440fx-7.2', 'return path'],
  ['pc-q35-11.0', 'return path'],
  ['pc-i440fx-11.1', 'device'],
  ['virt-11.2', 'device'],
  ['none', 'return path'],
  ['microvm', 'return path'],
] as const)('with machine type %s, SWITCHOVER_ACK answers the %s', (machine, switchoverAck) => {
  expect(machineRules(machine)).toMatchObject({ switchoverAck });
});

/** What send() says on the main channel to a target of this machine type. */
async function mainStream(machine: string): Promise<Uint8Array> {
  const target = await Target.listen();
  try {
    const sent = send({
      uri: target.uri,
      channels: CHANNELS,
      blocks: [{ id: 'ram', source: new Uint8Array(3 * PAGE).fill(7) }],
      machine,
      returnPath: false,
      inline: true,
    });
    const main = await target.accept();
    const channels = await target.channels(CHANNELS);
    for (const channel of channels) channel.ignore();
    const bytes = await main.rest();
    for (const wire of [main, ...channels]) wire.end();
    await sent;
    return bytes;
  } finally {
    await target.close();
  }
}

describe('send()', () => {
  test.each([
    ['pc-i440fx-8.0', 'per-section'],
    ['pc-q35-8.1', 'per-round'],
    ['pc-i440fx-10.0', 'per-round'],
  ] as const)('to %s syncs %s', async (machine, syncMode) => {
    const { events, handler } = recorder();
    const bytes = await mainStream(machine);
    const summary = await parseMainStream(readerOf(bytes), handler);
    expect(summary).toMatchObject({ configuration: { machine }, syncMode });
    const names = events.map(([name]) => name);
    // START, one round, END: each has its sync.
    expect(names.filter((name) => name === 'end')).toHaveLength(3);
    expect(names.filter((name) => name === 'flush')).toHaveLength(syncMode === 'per-round' ? 3 : 0);
  });
});
