import type { ImageReport } from '../../image/index.ts';
import type { MigrationStatistics } from '../../migration/statistics.ts';
import {
  formatBytes,
  formatDuration,
  formatRate,
  formatTable,
  plural,
  printable,
} from './format.ts';
import { factLines } from './lines.ts';

/** What a migration has done, in one line: how much, how long it took, and how fast it was. */
export function migrationSummary({
  'total-time': totalTime,
  'setup-time': setupTime,
  ram,
  blocks,
}: MigrationStatistics): string {
  return (
    `${formatBytes(ram.total)} in ${plural(blocks.length, 'block')}, ` +
    `${formatDuration(totalTime)} (setup ${formatDuration(setupTime)}), ${formatRate(ram.mbps)}`
  );
}

/** The same by channel. */
export function migrationTable(
  { ram, channels }: MigrationStatistics,
  to: NodeJS.WriteStream,
): string {
  const multifd = { packets: 0, normal: 0, duplicate: 0 };
  for (const { packets, normal, duplicate } of channels) {
    multifd.packets += packets;
    multifd.normal += normal;
    multifd.duplicate += duplicate;
  }
  const rows = channels.map(({ id, packets, bytes, normal, duplicate }) => [
    `channel ${id}`,
    packets,
    formatBytes(bytes),
    normal,
    duplicate,
  ]);
  const main = [
    'main',
    '',
    formatBytes(ram['precopy-bytes'] + ram['postcopy-bytes']),
    ram.normal - multifd.normal,
    ram.duplicate - multifd.duplicate,
  ];
  const total = ['total', multifd.packets, formatBytes(ram.transferred), ram.normal, ram.duplicate];
  return formatTable(
    ['', 'packets', 'bytes', 'normal pages', 'zero pages'],
    [...rows, main, total],
    to,
  );
}

/** What is in an image. */
export function imageText(path: string, image: ImageReport): string {
  const onDisk = image['size-on-disk'];
  const facts: [string, string][] = [
    ['image', path],
    ['machine type', printable(image.machine)],
    ['uuid', image.uuid ?? 'none'],
    ['capabilities', image.capabilities.map(printable).join(', ')],
    ['page size', `${image['page-size']} bytes`],
    ['file size', `${image['file-size']} bytes (${formatBytes(image['file-size'])})`],
    [
      'size on disk',
      onDisk === null
        ? 'not on a disk of this machine'
        : `${onDisk} bytes (${formatBytes(onDisk)})`,
    ],
  ];
  const others = image.others.length === 0 ? [] : ['', otherTable(image)];
  const devices = ['', sectionTable(image)];
  return [...factLines(facts), '', blockTable(image), ...others, ...devices].join('\n');
}

function blockTable({ blocks, totals }: ImageReport): string {
  const rows = blocks.map((block) => [
    printable(block.id),
    block.length,
    block['used-length'],
    block.pages,
    block.ignored ? 'not in the file' : block.normal,
    block.duplicate,
  ]);
  const total = [
    'total',
    blocks.reduce((sum, { length }) => sum + length, 0),
    totals['used-length'],
    totals.pages,
    totals.normal,
    totals.duplicate,
  ];
  return formatTable(
    ['block', 'bytes', 'used length', 'pages', 'present', 'zero'],
    [...rows, total],
  );
}

/** Devices of an image or a recording with sections that go along with the RAM. */
export function otherTable({ others }: Pick<ImageReport, 'others'>): string {
  const rows = others.map(({ idstr, 'instance-id': instance, version, sections, bytes }) => [
    printable(idstr),
    instance,
    version,
    sections,
    bytes,
  ]);
  return formatTable(['beside the RAM', 'instance', 'version', 'sections', 'bytes'], rows);
}

/** The device sections of an image or a recording. */
export function sectionTable({
  sections,
  'tail-bytes': tailBytes,
}: Pick<ImageReport, 'sections' | 'tail-bytes'>): string {
  if (sections === null)
    return `device sections: ${tailBytes} bytes that carry no description to tell them apart by`;
  if (sections.length === 0) return 'device sections: none';
  const rows = sections.map(({ idstr, 'instance-id': instance, version, size }) => [
    printable(idstr),
    instance,
    version,
    size,
  ]);
  return formatTable(['device section', 'instance', 'version', 'bytes'], rows);
}
