import { send } from 'multifd';
import type { Random } from '../../../support/random.ts';
import { Target, type Wire } from '../../../support/peer.ts';
import { be16, be32, concat, shut } from '../../../support/wire.ts';
import { PAGE } from '../grammar.ts';
import { mutated } from '../mutate.ts';
import { demand, ending } from '../oracles.ts';
import type { Execution, Part } from '../part.ts';

const TIMEOUT = 200;

const message = (type: number, data: Uint8Array, length = data.length): Uint8Array =>
  concat(be16(type), be16(length), data);

/** What a target may say, and what it may not. */
function answer(random: Random): Uint8Array {
  const said = random.pick<() => Uint8Array>([
    () => shut(0),
    () => shut(random.word()),
    () => message(2, be32(random.word())),
    () => message(7, new Uint8Array(0)),
    () => message(random.below(12), random.bytes(random.below(30))),
    () => message(random.below(8), random.bytes(4), random.below(0x10000)),
    () => random.bytes(random.below(40)),
    () => random.bytes(random.pick([1000, 100_000])),
  ])();
  return random.chance(0.3) ? mutated(random, said) : said;
}

/** A target that may break off anywhere and say anything; what it has said. */
async function misbehave(random: Random, target: Target, channels: number): Promise<Uint8Array> {
  const said: Uint8Array[] = [];
  const wires: Wire[] = [];
  const leave = (): void => {
    const reset = target.uri.startsWith('tcp:') && random.chance(0.5);
    for (const wire of wires) reset ? wire.reset() : wire.destroy();
  };
  const main = await target.accept();
  wires.push(main);
  if (random.chance(0.05)) {
    leave();
    return concat();
  }
  const missing = random.chance(0.05) ? 1 : 0;
  for (let n = 0; n < channels - missing; n++) wires.push(await target.accept());
  for (const wire of wires.slice(1)) {
    if (random.chance(0.1)) await wire.take(random.below(5000));
    wire.ignore();
  }
  for (let left = random.below(4); left > 0; left--) {
    if (random.chance(0.5)) await main.take(random.below(200));
    const words = answer(random);
    said.push(words);
    main.put(words);
  }
  main.ignore();
  switch (random.below(4)) {
    case 0:
      main.end();
      break;
    case 1:
      said.push(shut(0));
      main.put(shut(0));
      main.end();
      break;
    case 2:
      leave();
      break;
    default:
      // Silence: the source has to give up by itself.
      if (random.chance(0.8)) main.end();
  }
  return concat(...said);
}

async function run({ random, folder, input, note }: Execution): Promise<void> {
  const channels = 1 + random.below(3);
  const source = new Uint8Array((1 + random.below(40)) * PAGE);
  for (let at = 0; at < source.length; at += PAGE) {
    if (random.chance(0.7)) source.fill(1 + random.below(255), at, at + PAGE);
  }
  input(source.length);
  const before = source.slice();
  const target = await Target.listen(random.chance(0.5) ? `${folder}/s` : undefined);
  const playing = misbehave(random, target, channels);
  const returnPath = random.chance(0.9);
  const { error } = await ending(() =>
    send({
      uri: target.uri,
      channels,
      blocks: [{ id: 'ram', source }],
      timeout: TIMEOUT,
      inline: !random.chance(0.03),
      returnPath,
      switchoverAck: returnPath && random.chance(0.2),
      compression: random.pick(['none', 'none', 'zlib']),
      zeroPageDetection: random.pick(['none', 'legacy', 'multifd']),
    }),
  );
  await target.close();
  const said = Buffer.from(await Promise.race([playing, target.close().then(() => concat())]));
  note(`the target said ${said.subarray(0, 64).toString('hex')}; ${error?.code ?? 'completed'}`);
  demand(Buffer.compare(source, before) === 0, 'wrong bytes', 'the source was written to');
  const heard = said.includes(Buffer.from(shut(0))) || !returnPath;
  demand(error !== undefined || heard, 'outcome', 'completed, and the target never said so');
}

export const sendPart: Part = {
  name: 'send',
  what: "a source's return path, and targets that go away",
  executions: { whole: 4_000, short: 25 },
  run,
};
