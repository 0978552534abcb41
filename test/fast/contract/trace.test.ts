import { receive, send } from 'multifd';
import { expect, onTestFinished, test, vi } from 'vitest';

test('the steps of both ends are told, in their order, to who asks', async () => {
  const lines: string[] = [];
  const spy = vi
    .spyOn(console, 'error')
    .mockImplementation((line: string) => void lines.push(line));
  const scope = globalThis as { MULTIFD_DEBUG?: boolean };
  onTestFinished(() => {
    spy.mockRestore();
    delete scope.MULTIFD_DEBUG;
  });
  const move = async (): Promise<void> => {
    const target = new Uint8Array(4096);
    const blocks = { ram: target };
    const incoming = await receive({ uri: 'tcp:127.0.0.1:0', blocks, inline: true });
    const source = new Uint8Array(4096).fill(1);
    await send({ uri: incoming.uri, blocks: [{ id: 'ram', source }], inline: true });
    await incoming.completed;
    expect(target).toEqual(source);
  };
  await move();
  expect(lines).toEqual([]);
  scope.MULTIFD_DEBUG = true;
  await move();
  const stepsOf = (who: string): string[] =>
    lines.flatMap((line) => new RegExp(`^MULTIFD \\d+: ${who}: (.*)$`).exec(line)?.[1] ?? []);
  expect(stepsOf('source')).toEqual([
    'connect the main channel',
    'start: 1 blocks',
    'round',
    'ready',
    'last',
    'commit: wait for the target',
    'completed',
  ]);
  expect(stepsOf('target')).toEqual([
    'wait for a source',
    'configuration: machine none',
    'start: 1 blocks',
    'the channels are at work',
    'sync 0',
    'sync 1',
    'sync 2',
    'commit',
    'completed',
  ]);
  expect(stepsOf('source, channel 1')).toEqual(['connect']);
  expect(stepsOf('target, channel 1')).toEqual(['open', 'close']);
});
