import { observer } from '../util/callbacks.ts';
import { givenPath, givenSignal, integer } from '../util/checks.ts';
import { checkPageSize } from '../migration/options.ts';
import { checkAdmission } from '../transport/adapters/admission.ts';
import { checkToken } from '../transport/adapters/token.ts';
import { MAX_CHANNELS } from './names.ts';
import type { RecordingStatistics } from './statistics.ts';

/** What recording and replaying have in common. */
export interface RecordingRunOptions {
  /**
   * `tcp:HOST:PORT` (port 0 for recording: any free one), `unix:PATH`, `ws://HOST:PORT/PATH` or
   * `http://HOST:PORT/PATH`.
   */
  uri: string | URL;
  /** The recording's folder. */
  path: string;
  /** Milliseconds for connecting, and for no progress at all (30000). */
  timeout?: number;
  signal?: AbortSignal;
  /** For ws: and http: URIs, what a client has to show (none). */
  token?: string;
  /** Called about five times a second from the first connection on, and once at the end. */
  onProgress?: (statistics: RecordingStatistics) => void;
}

export interface RecordOptions extends RecordingRunOptions {
  /** How many multifd channels there have to be, 0 to 256; default: as many as come. */
  channels?: number;
  /**
   * The source's bytes per page (4096, or what its configuration says). Only pages that come on the
   * main channel depend on it.
   */
  pageSize?: number;
  /** Replace a recording that is there (false). */
  force?: boolean;
  /** Keep what came of a migration that fails or is cancelled (false). */
  keep?: boolean;
  /**
   * Of which origins a page may come to a ws: or http: URI that we listen at, as browsers send
   * them, such as `https://example.com`, or `*` for any. Without a token none but those may come
   * (none); with one any, unless they are given too.
   */
  origins?: readonly string[];
  /** Told of connections that were dropped because they were no migration's. */
  onRejected?: (why: string) => void;
}

/** The same with every default in place. Throws MultifdError ERR_OPTION. */
export function checkRun({ path, timeout, signal, token, onProgress }: RecordingRunOptions): {
  timeout: number;
  signal: AbortSignal;
  token: string | undefined;
  onProgress: (statistics: RecordingStatistics) => void;
} {
  givenPath('path', path);
  checkToken(token);
  return {
    timeout: integer('timeout', timeout ?? 30_000, 1, 2 ** 31 - 1),
    signal: givenSignal(signal) ?? new AbortController().signal,
    token,
    onProgress: observer('onProgress', onProgress),
  };
}

/** Throws MultifdError ERR_OPTION. */
export function checkRecord(options: RecordOptions) {
  const { channels, pageSize, force = false, keep = false, origins, onRejected } = options;
  checkAdmission({ token: options.token, origins });
  if (channels !== undefined) integer('channels', channels, 0, MAX_CHANNELS);
  if (pageSize !== undefined) checkPageSize(pageSize);
  const told = observer('onRejected', onRejected);
  return { ...checkRun(options), channels, pageSize, force, keep, origins, onRejected: told };
}
