import { FIRST, NEVER, ZERO } from './states.ts';

/** Lightness 0 to 1, chroma, hue in degrees: OKLCH, in which equal steps look equal. */
type Oklch = readonly [lightness: number, chroma: number, hue: number];

interface Theme {
  never: Oklch;
  zero: Oklch;
  normal: Oklch;
  /** Pages that came again: from the first such round to the last one. */
  again: readonly [Oklch, Oklch];
}

const LIGHT: Theme = {
  never: [0.97, 0.004, 250],
  zero: [0.86, 0.02, 245],
  normal: [0.6, 0.13, 245],
  again: [
    [0.8, 0.16, 85],
    [0.42, 0.18, 5],
  ],
};
const DARK: Theme = {
  never: [0.245, 0.01, 250],
  zero: [0.38, 0.03, 245],
  normal: [0.64, 0.13, 240],
  again: [
    [0.88, 0.16, 95],
    [0.56, 0.23, 5],
  ],
};

/** After this many rounds the colours of later ones are all the same. */
const RAMP_ROUNDS = 8;

/** A colour for each of the 256 codes of a page, as a pixel of an ImageData (little-endian). */
export function pixels(dark: boolean): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, code) => {
    const [r, g, b] = rgb(colourOf(code, dark ? DARK : LIGHT));
    return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
}

function colourOf(code: number, { never, zero, normal, again: [from, to] }: Theme): Oklch {
  if (code === NEVER) return never;
  if (code === ZERO) return zero;
  if (code === FIRST) return normal;
  const share = Math.min((code - FIRST - 1) / (RAMP_ROUNDS - 1), 1);
  // The shorter way around the circle.
  const turn = ((to[2] - from[2] + 540) % 360) - 180;
  return [
    from[0] + share * (to[0] - from[0]),
    from[1] + share * (to[1] - from[1]),
    from[2] + share * turn,
  ];
}

/** To sRGB, 0 to 255 each; what lies outside is cut off. */
function rgb([lightness, chroma, hue]: Oklch): [number, number, number] {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encode(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function encode(linear: number): number {
  const value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.round(Math.min(Math.max(value, 0), 1) * 255);
}

/** A pixel as CSS has it. */
export function css(pixel: number): string {
  return `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
}
