import type { Codec } from '../codec.ts';

// A codec that a page's worker loads from a file of its own. Parcel makes of such a file a script
// without exports: so the codec is also left where its loader finds it.

const placeOf = (name: string): symbol => Symbol.for(`multifd.codec.${name}`);
const realm = globalThis as unknown as Record<symbol, Codec | undefined>;

/** Leaves a codec for {@link aside}. @returns the codec. */
export function offered(name: string, codec: Codec): Codec {
  realm[placeOf(name)] = codec;
  return codec;
}

/** A codec whose file is loaded when the first channel uses it. */
export function aside(name: string, load: () => Promise<{ readonly codec?: Codec }>): Codec {
  const loaded = async (): Promise<Codec> => {
    const codec = (await load()).codec ?? realm[placeOf(name)];
    if (codec === undefined) throw new Error('its file is another one');
    return codec;
  };
  return {
    encoder: async (...options) => (await loaded()).encoder(...options),
    decoder: async (...options) => (await loaded()).decoder(...options),
  };
}
