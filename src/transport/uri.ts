import { refuse } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';

/**
 * Where a migration goes to or comes from, as QEMU's migration URIs name it, and by WebSocket and
 * HTTP, which QEMU has not.
 */
export type MigrationUri =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly offset: number }
  /**
   * A connection is one WebSocket, or one POST whose bodies are streamed. `secure`: over TLS
   * (`wss:`, `https:`).
   */
  | {
      readonly kind: 'ws' | 'http';
      readonly secure: boolean;
      readonly host: string;
      readonly port: number;
      readonly path: string;
    };

/** A URI with connections behind it. */
export type ConnectionUri = Exclude<MigrationUri, { kind: 'file' }>;
export type WebUri = Extract<MigrationUri, { kind: 'ws' | 'http' }>;

const FORMS =
  'tcp:HOST:PORT (an IPv6 host in brackets), unix:PATH, file:PATH[,offset=N], ' +
  'ws://HOST:PORT/PATH or http://HOST:PORT/PATH (wss: and https: over TLS)';
const MAX_PORT = 65535;
const DEFAULT_PORT = { plain: 80, secure: 443 } as const;

/** What may be given for one: a text, or a URL. */
export type UriLike = string | URL;

/** @throws MultifdError ERR_URI; ERR_OPTION for what is neither a text nor a URL. */
export function parseUri(given: UriLike): MigrationUri {
  if (typeof given !== 'string' && !(given instanceof URL)) refuse('uri', given, FORMS);
  const text = typeof given === 'string' ? given : textOf(given);
  const bad = (why: string): MultifdError =>
    new MultifdError('ERR_URI', `${JSON.stringify(text)}: ${why}; a URI is ${FORMS}`);
  const colon = text.indexOf(':');
  const rest = text.slice(colon + 1);
  const kind = colon < 0 ? '' : text.slice(0, colon);
  switch (kind) {
    case 'tcp': {
      const parts = /^(?:\[([0-9a-fA-F:.]+(?:%[^\]]+)?)\]|([^:[\]]*)):(\d{1,5})$/.exec(rest);
      if (parts === null) throw bad('no host and port');
      const port = Number(parts[3]);
      if (port > MAX_PORT) throw bad('the port is above 65535');
      return { kind: 'tcp', host: parts[1] ?? parts[2]!, port };
    }
    case 'unix':
      if (rest === '' || rest.includes('\0')) throw bad('no path');
      return { kind: 'unix', path: rest };
    case 'file': {
      const parts = /^(.+?)(?:,offset=(\d+|0x[0-9a-fA-F]+))?$/s.exec(rest);
      if (parts === null || rest.includes('\0')) throw bad('no path');
      const offset = Number(parts[2] ?? 0);
      if (!Number.isSafeInteger(offset)) throw bad('the offset is too large');
      return { kind: 'file', path: parts[1]!, offset };
    }
    case 'ws':
    case 'wss':
    case 'http':
    case 'https': {
      const url = URL.canParse(text) ? new URL(text) : undefined;
      // What a URL may have there in a browser's eyes, and loses: blanks, and slashes of either
      // kind.
      if (url === undefined || !/^\/\/[^/\\\s][^\\\s]*$/.test(rest)) throw bad('no host');
      if (url.username !== '' || url.password !== '')
        throw bad('it names a user: give a token instead');
      if (rest.includes('#')) throw bad('it has a fragment');
      const secure = kind.endsWith('s') && kind !== 'ws';
      const port =
        url.port === '' ? (secure ? DEFAULT_PORT.secure : DEFAULT_PORT.plain) : Number(url.port);
      return {
        kind: kind.startsWith('ws') ? 'ws' : 'http',
        secure,
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port,
        path: url.pathname + url.search,
      };
    }
    default:
      throw bad('unknown kind');
  }
}

/**
 * As it would be given as a text. A URL has what stands for a path in another form: `//` before it,
 * and some characters as %XX.
 */
function textOf({ protocol, href, host, search, hash }: URL): string {
  if (protocol !== 'file:' && protocol !== 'unix:') return href;
  const path = href.slice(protocol.length).replace(/^\/\/(?=\/)/, '');
  try {
    if (host === '' && search === '' && hash === '') return protocol + decodeURIComponent(path);
  } catch {
    // No characters at all.
  }
  throw new MultifdError(
    'ERR_URI',
    `${href}: a host, a query or a fragment, or %XX that is no character, where only a path ` +
      'can be',
  );
}

export function formatUri(uri: MigrationUri): string {
  if (uri.kind === 'unix') return `unix:${uri.path}`;
  if (uri.kind === 'file')
    return `file:${uri.path}${uri.offset === 0 ? '' : `,offset=${uri.offset}`}`;
  const address = `${uri.host.includes(':') ? `[${uri.host}]` : uri.host}:${uri.port}`;
  return uri.kind === 'tcp'
    ? `tcp:${address}`
    : `${uri.kind}${uri.secure ? 's' : ''}://${address}${uri.path}`;
}

/** The host that a certificate has to be for. */
export function hostOf(uri: ConnectionUri): string | undefined {
  return uri.kind === 'unix' ? undefined : uri.host || '127.0.0.1';
}
