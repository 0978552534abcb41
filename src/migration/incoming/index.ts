import { MultifdError } from '../../errors.ts';
import { loadServerTls } from '../../transport/tls-credentials.ts';
import { formatUri, parseUri, type SocketUri } from '../../transport/uri.ts';
import { copyToSink } from '../copy.ts';
import { imageCargo } from '../outgoing/cargo.ts';
import { onceOver } from '../outgoing/course.ts';
import { checkOutgoing } from '../outgoing/options.ts';
import { type MigrationStatistics, Recorder } from '../statistics.ts';
import { Connections } from './connections.ts';
import { FromSource } from './from-source.ts';
import { type CheckedIncoming, checkIncoming, type IncomingOptions, openSink } from './options.ts';

export type { IncomingOptions } from './options.ts';

/** An incoming end that is ready for its source. */
export interface IncomingMigration {
  /** Where it listens, with the port it got. */
  readonly uri: string;
  /**
   * Resolves once everything is in place.
   * Rejects with a MultifdError: the first thing that went wrong, at either end; ERR_CANCELLED after the signal.
   */
  readonly completed: Promise<MigrationStatistics>;
}

/**
 * The incoming end of a migration: listens for a source, or loads a mapped-ram image, and fills memories or writes an image.
 * @throws MultifdError ERR_OPTION, ERR_URI, ERR_LISTEN, ERR_EXISTS, ERR_IO, ERR_TLS.
 */
export async function receive(options: IncomingOptions): Promise<IncomingMigration> {
  const uri = parseUri(options.uri);
  const checked = checkIncoming(options);
  const recorder = new Recorder(checked.pageSize);
  if (uri.kind !== 'file') return listenFor(uri, options, checked, recorder);
  if (options.tls !== undefined) throw new MultifdError('ERR_OPTION', 'TLS is for connections: leave it out for file:');
  const completed = load(uri.path, uri.offset, options, checked, recorder);
  completed.catch(() => {}); // whoever looks at it is told
  return { uri: formatUri(uri), completed };
}

async function listenFor(uri: SocketUri, options: IncomingOptions, checked: CheckedIncoming, recorder: Recorder): Promise<IncomingMigration> {
  const tls = options.tls && (await loadServerTls(options.tls));
  const sink = await openSink(options, checked.pageSize);
  let connections: Connections;
  try {
    const { channels, uuid, timeout, onStranger } = checked;
    connections = await Connections.open(uri, { channels, uuid, timeout, onStranger, tls, onFirst: () => recorder.start() });
  } catch (error) {
    await sink.discard();
    throw error;
  }
  const completed = report(new FromSource(connections, sink, checked, recorder).run(), checked, recorder);
  completed.catch(() => {});
  return { uri: formatUri(connections.uri), completed };
}

async function load(path: string, offset: number, options: IncomingOptions, checked: CheckedIncoming, recorder: Recorder): Promise<MigrationStatistics> {
  const { uri, channels, timeout, pageSize, signal, onProgress, inline } = { ...options, ...checked };
  const outgoing = checkOutgoing({ uri, channels, timeout, pageSize, signal, onProgress, inline });
  const cargo = await imageCargo(path, { offset }, pageSize);
  try {
    if (cargo.usedLengths.reduce((sum, length) => sum + length, 0) > checked.maxBytes) {
      throw new MultifdError('ERR_BLOCK_LENGTH', `the image's blocks have more than the ${checked.maxBytes} bytes allowed: allow more`);
    }
    return await report(copyToSink(cargo, await openSink(options, checked.pageSize), outgoing, recorder, onceOver([])), checked, recorder);
  } finally {
    await cargo.close();
  }
}

async function report(work: Promise<void>, { onProgress }: CheckedIncoming, recorder: Recorder): Promise<MigrationStatistics> {
  try {
    await work;
  } finally {
    recorder.end();
    onProgress(recorder.snapshot());
  }
  return recorder.snapshot();
}
