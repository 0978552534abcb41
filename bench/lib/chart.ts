import type { Verdict } from './part.ts';

const ROW = 26;
const LABELS = 400;
const BARS = 340;
const NUMBERS = 110;
const TOP = 44;
const BOTTOM = 26;
const WIDTH = LABELS + BARS + NUMBERS;

/** One bar of the chart; more is better. */
interface Bar {
  label: string;
  ratio: number;
  least: number;
  most: number;
  wanted: number;
  met: boolean;
}

/**
 * Ratios as bars on a logarithmic scale: to the right of the line in the middle is more than what
 * it is compared with has, a tick is what is aimed at. Where less is better (processor time) the
 * ratio stands on its head. Colours follow the reader's scheme, light or dark.
 */
export function chartOf(verdicts: readonly Verdict[], caption: string): string {
  const bars = verdicts.flatMap(barOf);
  const reach = Math.max(
    1,
    ...bars.flatMap(({ ratio, least, most, wanted }) =>
      [ratio, least, most, wanted].map((value) => Math.abs(Math.log2(value))),
    ),
  );
  const octaves = Math.ceil(reach);
  const x = (ratio: number): number =>
    LABELS + (BARS * (Math.log2(ratio) + octaves)) / (2 * octaves);
  const height = TOP + ROW * bars.length + BOTTOM;
  const step = Math.ceil(octaves / 4);
  const marks = Array.from({ length: 2 * octaves + 1 }, (_, n) => n - octaves).filter(
    (octave) => octave % step === 0,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
      `width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(caption)}">`,
    '<style>',
    'text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}.grid{stroke:#d1d9e0}.one{stroke:#59636e}.met{fill:#2a78d6}.missed{fill:#d98a1f}.span,.goal{stroke:#1f2328}.goal{stroke-width:2}',
    '@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.grid{stroke:#3d444d}.one{stroke:#9198a1}.met{fill:#4c96ea}.missed{fill:#e0a040}.span,.goal{stroke:#f0f6fc}}',
    '</style>',
    `<text x="0" y="16">${escaped(caption)}</text>`,
    ...marks.map((octave) => {
      const at = round(x(2 ** octave));
      return (
        `<line class="${octave === 0 ? 'one' : 'grid'}" x1="${at}" x2="${at}" y1="${TOP - 6}" ` +
        `y2="${height - BOTTOM}"/><text class="small" x="${at}" y="${height - BOTTOM + 16}" ` +
        `text-anchor="middle">${octave < 0 ? `1/${2 ** -octave}` : 2 ** octave}</text>`
      );
    }),
    ...bars.map((bar, row) => barLines(bar, TOP + ROW * row, x)),
    '</svg>',
    '',
  ].join('\n');
}

function barOf({
  headline,
  over,
  measured: { median, least, most },
  least: wantedLeast,
  most: wantedMost,
  met,
}: Verdict): Bar[] {
  if (headline === undefined || over === undefined) return [];
  if (wantedLeast !== undefined)
    return [{ label: headline, ratio: median, least, most, wanted: wantedLeast, met }];
  return [
    {
      label: headline,
      ratio: 1 / median,
      least: 1 / most,
      most: 1 / least,
      wanted: 1 / wantedMost!,
      met,
    },
  ];
}

function barLines(
  { label, ratio, least, most, wanted, met }: Bar,
  y: number,
  x: (ratio: number) => number,
): string {
  const [from, to] = [Math.min(x(1), x(ratio)), Math.max(x(1), x(ratio))];
  const middle = y + ROW / 2 - 2;
  return [
    `<text x="${LABELS - 10}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="${met ? 'met' : 'missed'}" x="${round(from)}" y="${y + 3}" ` +
      `width="${round(Math.max(1, to - from))}" height="${ROW - 10}" rx="2"/>`,
    `<line class="span" x1="${round(x(least))}" x2="${round(x(most))}" y1="${middle}" ` +
      `y2="${middle}"/>`,
    `<line class="goal" x1="${round(x(wanted))}" x2="${round(x(wanted))}" y1="${y}" ` +
      `y2="${y + ROW - 4}"/>`,
    `<text x="${LABELS + BARS + 14}" y="${middle + 4}">${ratio.toFixed(ratio < 10 ? 2 : 0)} ` +
      '×</text>',
  ].join('');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
