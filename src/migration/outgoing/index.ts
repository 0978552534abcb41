import { MultifdError } from '../../errors.ts';
import { loadClientTls } from '../../transport/tls-credentials.ts';
import { parseUri } from '../../transport/uri.ts';
import { copyToSink } from '../copy.ts';
import { imageSink } from '../memory/image-sink.ts';
import { type MigrationStatistics, Recorder } from '../statistics.ts';
import { loadCargo } from './cargo.ts';
import { onceOver } from './course.ts';
import { checkOutgoing, type OutgoingOptions } from './options.ts';
import { migrateToTarget } from './to-target.ts';

export type { OutgoingOptions, ZeroPageDetection } from './options.ts';

/**
 * The outgoing end of a migration: sends memories, or an image, to a listening target or into a mapped-ram image.
 *
 * With a return path it resolves once the target has everything in place. Until then, and whatever happens, nothing at the source has changed.
 * @throws MultifdError: the first thing that went wrong, at either end; ERR_CANCELLED after the signal.
 */
export async function send(options: OutgoingOptions): Promise<MigrationStatistics> {
  const uri = parseUri(options.uri);
  const checked = checkOutgoing(options);
  if (uri.kind === 'file' && checked.compression !== 'none') {
    throw new MultifdError('ERR_OPTION', 'mapped-ram images are not compressed: leave compression at none for file:');
  }
  if (uri.kind === 'file' && options.tls !== undefined) throw new MultifdError('ERR_OPTION', 'TLS is for connections: leave it out for file:');
  const tls = options.tls && (await loadClientTls(options.tls, uri.kind === 'tcp' ? uri.host || '127.0.0.1' : undefined));
  const cargo = await loadCargo(options, checked.pageSize);
  const recorder = new Recorder(checked.pageSize);
  const plan = onceOver(options.deviceState ?? []);
  try {
    if (uri.kind === 'file') await copyToSink(cargo, await imageSink({ ...uri, force: checked.force, pageSize: checked.pageSize }), checked, recorder, plan);
    else await migrateToTarget(uri, tls, cargo, checked, recorder, plan);
  } finally {
    recorder.end();
    checked.onProgress(recorder.snapshot());
    await cargo.close();
  }
  return recorder.snapshot();
}
