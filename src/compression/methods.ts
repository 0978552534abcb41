import type { COMPRESSION } from '../core/index.ts';
import { inWords } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import type { Codec, CodecLevels, Decoder, Encoder } from './codec.ts';

/**
 * QEMU's compression methods of multifd channels. A method is one row here and one codec; a
 * value of the packets' flags without a row does not compile, nor does a row without a codec.
 */

/** What is known of a method: its codec (undefined: pages go as they are), or why there is none. */
export type MethodRow =
  | { readonly codec: (() => Promise<{ readonly codec: Codec }>) | undefined }
  | { readonly refused: string };

/** By the names of QEMU's `multifd-compression`; each has its value in the packets' flags. */
export type MethodName = keyof typeof COMPRESSION;

/**
 * A method's codec, loaded when it is first used. Its type names no module of `#codecs`: those are
 * not packed as types.
 */
const by = (codec: () => Promise<{ readonly codec: Codec }>): { readonly codec: typeof codec } => ({
  codec,
});

export const METHODS = {
  none: { codec: undefined },
  zlib: by(() => import('#codecs/zlib')),
  zstd: by(() => import('#codecs/zstd')),
  qpl: { refused: "it needs Intel's In-Memory Analytics Accelerator" },
  uadk: { refused: "it needs Huawei's Kunpeng accelerators" },
  qatzip: { refused: "it needs Intel's QuickAssist" },
} as const satisfies Readonly<Record<MethodName, MethodRow>>;

/**
 * `none`, `zlib` or `zstd`: the methods that have a codec, by the names of QEMU's
 * `multifd-compression`.
 *
 * @useDeclaredType
 */
export type Compression = {
  [M in MethodName]: (typeof METHODS)[M] extends { readonly refused: string } ? never : M;
}[MethodName];

const rowOf = (name: MethodName): MethodRow => METHODS[name];

export const COMPRESSIONS = (Object.keys(METHODS) as MethodName[]).filter(
  (name): name is Compression => 'codec' in rowOf(name),
);

/** @throws MultifdError ERR_OPTION for what is no method, and for one that has no codec. */
export function checkCompression(name: unknown): Compression {
  const row =
    typeof name === 'string' && Object.hasOwn(METHODS, name)
      ? rowOf(name as MethodName)
      : undefined;
  if (row !== undefined && 'codec' in row) return name as Compression;
  const why = row === undefined ? '' : ` is known, but ${row.refused}`;
  throw new MultifdError(
    'ERR_OPTION',
    `compression ${inWords(name)}${why}: give ${COMPRESSIONS.join(', ')}`,
  );
}

/**
 * @param ownThread whether the channel has a thread of its own.
 * @returns undefined for no compression.
 * @throws MultifdError ERR_CODEC when this runtime can't encode it.
 */
export async function createEncoder(
  compression: Compression,
  levels: CodecLevels,
  ownThread: boolean,
): Promise<Encoder | undefined> {
  return (await load(compression))?.encoder(levels, ownThread);
}

/**
 * As {@link createEncoder}, for what comes in; every runtime can decode everything, in any thread.
 */
export async function createDecoder(
  compression: Compression,
  ownThread: boolean,
): Promise<Decoder | undefined> {
  return (await load(compression))?.decoder(ownThread);
}

/** Codecs are loaded when the first migration compresses: most don't. */
async function load(compression: Compression): Promise<Codec | undefined> {
  try {
    return (await METHODS[compression].codec?.())?.codec;
  } catch (cause) {
    throw new MultifdError(
      'ERR_CODEC',
      `the codec for ${compression} can't be loaded: its file, multifd/codecs/${compression}, ` +
        'has to be among those that are served; see docs/bundlers.md',
      { cause },
    );
  }
}
