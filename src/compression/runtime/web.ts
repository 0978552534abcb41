import { MultifdError } from '../../util/errors.ts';
import type { Compression } from '../codec.ts';
import type * as node from './node.ts';

/**
 * Codecs are a module of their own, loaded when the first migration compresses: most of those at
 * the edge don't.
 */
type Codecs = typeof import('../script.ts');

async function load(compression: Compression): Promise<Codecs> {
  try {
    return await import('../script.ts');
  } catch (cause) {
    throw new MultifdError(
      'ERR_CODEC',
      `the codecs for ${compression} can't be loaded: in workerd, codecs.js has to be one of ` +
        `the worker's modules`,
      { cause },
    );
  }
}

export const createEncoder: typeof node.createEncoder = async (compression, levels, ownThread) =>
  compression === 'none'
    ? undefined
    : (await load(compression)).createEncoder(compression, levels, ownThread);

export const createDecoder: typeof node.createDecoder = async (compression) =>
  compression === 'none' ? undefined : (await load(compression)).createDecoder(compression);
