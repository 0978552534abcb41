import type { RecordingReport } from '../../recording/index.ts';
import { formatBytes, formatDuration, printable, formatTable } from './format.ts';
import { factLines } from './lines.ts';
import { otherTable, sectionTable } from './report.ts';

const SYNC_MODES = { 'per-round': 'per round', 'per-section': 'per section' } as const;

/** What is in a recording. */
export function recordingText(path: string, recording: RecordingReport): string {
  const {
    machine,
    uuid,
    capabilities,
    'page-size': pageSize,
    compression,
    'sync-mode': syncMode,
    syncs,
    'ram-sections': ramSections,
    'total-time': duration,
    transferred: bytes,
    problem,
  } = recording;
  const facts: [string, string][] = [
    ['recording', path],
    ['machine type', printable(machine)],
    ['uuid', uuid ?? 'none'],
    ['capabilities', capabilities.map(printable).join(', ') || 'none'],
    ['page size', `${pageSize} bytes`],
    ['compression', compression ?? 'unknown'],
    ['return path', returnPath(recording)],
    [
      'syncs',
      `${syncs} in ${ramSections} sections of ` +
        `RAM${syncMode === null ? '' : `, ${SYNC_MODES[syncMode]}`}`,
    ],
    ['duration', duration === null ? 'unknown' : formatDuration(duration)],
    ['size', `${bytes} bytes (${formatBytes(bytes)})`],
    ['complete', problem === null ? 'yes' : `no: ${problem.code}: ${printable(problem.message)}`],
  ];
  return [
    ...factLines(facts),
    '',
    channelTable(recording),
    '',
    blockTable(recording),
    ...(recording.others.length === 0 ? [] : ['', otherTable(recording)]),
    '',
    sectionTable(recording),
  ].join('\n');
}

function returnPath({ 'return-path': returnPath, answered }: RecordingReport): string {
  if (!returnPath) return 'no';
  return answered === null
    ? 'yes, without a last answer'
    : `yes, answered ${answered === 0 ? 'that all is well' : `with status ${answered}`}`;
}

function channelTable({ channels, 'precopy-bytes': mainBytes, blocks }: RecordingReport): string {
  const rows = channels.map((channel) => [
    `channel ${channel.id}`,
    channel.packets,
    channel.syncs,
    channel['device-state'],
    channel.normal,
    channel.duplicate,
    channel.bytes,
  ]);
  const onMain = (key: 'main-normal' | 'main-duplicate'): number =>
    blocks.reduce((sum, block) => sum + block[key], 0);
  const main = ['main', '', '', '', onMain('main-normal'), onMain('main-duplicate'), mainBytes];
  return formatTable(
    ['connection', 'packets', 'syncs', 'device state', 'normal pages', 'zero pages', 'bytes'],
    [...rows, main],
  );
}

function blockTable({ blocks }: RecordingReport): string {
  const rows = blocks.map((block) => [
    printable(block.id),
    block['used-length'],
    block.normal + block['main-normal'],
    block.duplicate + block['main-duplicate'],
    block.rounds,
  ]);
  return formatTable(['block', 'used length', 'normal pages', 'zero pages', 'rounds'], rows);
}
