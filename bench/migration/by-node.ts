import type { Sample } from '../lib/part.ts';
import { said, withChildren } from '../lib/child.ts';
import { meter } from './meter.ts';
import type { MoveOrder, SourceWord, TargetWord } from './order.ts';

const SOURCE = new URL('./migration/source.js', import.meta.url);
const TARGET = new URL('./migration/target.js', import.meta.url);

/**
 * This project, or a plain stream: from memory to memory, in fresh processes.
 * @throws when what came is not what left.
 */
export function moveByNode(order: MoveOrder, node?: string): Promise<Sample> {
  return withChildren(async (start) => {
    const target = start(TARGET, order, node);
    const { uri } = await said<Extract<TargetWord, { kind: 'listening' }>>(target);
    const source = start(SOURCE, { order, uri }, node);
    await said<SourceWord>(source);
    const stop = meter(source.pid!, target.pid!, order.bytes);
    source.send('go');
    const { seconds } = await said<Extract<SourceWord, { kind: 'moved' }>>(source);
    const sample = stop(seconds);
    target.send('compare');
    const { same } = await said<Extract<TargetWord, { kind: 'compared' }>>(target);
    if (!same) throw new Error('what came is not what left');
    return sample;
  });
}
