import { refuse } from '../util/checks.ts';
import { MultifdError } from '../util/errors.ts';
import { parseBytes } from '../util/sizes.ts';

/**
 * Where a migration goes to or comes from, as QEMU's migration URIs name it, and by WebSocket and
 * HTTP, which QEMU has not. A scheme is one row here, and, if it has connections, one adapter for
 * each runtime that has them (`#sockets`).
 */
export type MigrationUri =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly offset: number }
  /** A connection is one WebSocket. */
  | ({ readonly kind: 'ws' } & WebAddress)
  /** A connection is one POST whose bodies are streamed. */
  | ({ readonly kind: 'http' } & WebAddress);

interface WebAddress {
  /** Over TLS: `wss:`, `https:`. */
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/** A URI with connections behind it. */
export type ConnectionUri = Exclude<MigrationUri, { kind: 'file' }>;
export type WebUri = Extract<MigrationUri, { kind: 'ws' | 'http' }>;

/** What may be given for one: a text, or a URL. */
export type UriLike = string | URL;

type Kind = MigrationUri['kind'];
type UriOf<K extends Kind> = Extract<MigrationUri, { kind: K }>;

/** What is to be known of a scheme. */
interface Scheme<U> {
  /** How it is written, for messages. */
  readonly form: string;
  /** @param rest behind the colon. @returns the URI, or why it is none. */
  parse(rest: string): U | string;
  format(uri: U): string;
  /** Of its connections, the host that a certificate has to be for. */
  host(uri: U): string | undefined;
  /** Whether any client could connect, so that a token is needed. */
  readonly needsToken: boolean;
}

const MAX_PORT = 65535;
const LOOPBACK = '127.0.0.1';

const addressOf = ({ host, port }: { host: string; port: number }): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

const tcp: Scheme<UriOf<'tcp'>> = {
  form: 'tcp:HOST:PORT (an IPv6 host in brackets)',
  // As other tools write it, and as a URL object gives it: `tcp://HOST:PORT`.
  parse(rest) {
    const parts = /^(?:\/\/)?(?:\[([0-9a-fA-F:.]+(?:%[^\]]+)?)\]|([^:/[\]]*)):(\d{1,5})\/?$/.exec(
      rest,
    );
    if (parts === null) return 'no host and port';
    const port = Number(parts[3]);
    if (port > MAX_PORT) return 'the port is above 65535';
    return { kind: 'tcp', host: parts[1] ?? parts[2]!, port };
  },
  format: (uri) => `tcp:${addressOf(uri)}`,
  host: ({ host }) => host || LOOPBACK,
  needsToken: false,
};

const unix: Scheme<UriOf<'unix'>> = {
  form: 'unix:PATH',
  parse: (path) => (path === '' || path.includes('\0') ? 'no path' : { kind: 'unix', path }),
  format: ({ path }) => `unix:${path}`,
  host: () => undefined,
  needsToken: false,
};

const file: Scheme<UriOf<'file'>> = {
  form: 'file:PATH[,offset=N]',
  parse(rest) {
    const parts = /^(.+?)(?:,offset=(\d+[KMGT]?|0x[0-9a-f]+))?$/is.exec(rest);
    if (parts === null || rest.includes('\0')) return 'no path';
    const offset = parseBytes(parts[2] ?? '0');
    if (offset === undefined) return 'the offset is too large';
    return { kind: 'file', path: parts[1]!, offset };
  },
  format: ({ path, offset }) => `file:${path}${offset === 0 ? '' : `,offset=${offset}`}`,
  host: () => undefined,
  needsToken: false,
};

/** @param secure over TLS: the scheme has an s then. */
function web<K extends WebUri['kind']>(kind: K, secure: boolean): Scheme<UriOf<K>> {
  const scheme = `${kind}${secure ? 's' : ''}:`;
  const defaultPort = secure ? 443 : 80;
  return {
    form: `${scheme}//HOST:PORT/PATH`,
    parse(rest) {
      const text = scheme + rest;
      const url = URL.canParse(text) ? new URL(text) : undefined;
      // What a URL may have there in a browser's eyes, and loses: blanks, and slashes of either
      // kind.
      if (url === undefined || !/^\/\/[^/\\\s][^\\\s]*$/.test(rest)) return 'no host';
      if (url.username !== '' || url.password !== '')
        return 'it names a user: give a token instead';
      if (rest.includes('#')) return 'it has a fragment';
      return {
        kind,
        secure,
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port === '' ? defaultPort : Number(url.port),
        path: url.pathname + url.search,
      } as UriOf<K>;
    },
    format: (uri: WebUri) => `${uri.kind}${uri.secure ? 's' : ''}://${addressOf(uri)}${uri.path}`,
    host: ({ host }: WebUri) => host || LOOPBACK,
    needsToken: true,
  };
}

/** By their names in a URI. */
const SCHEMES = {
  tcp,
  unix,
  file,
  ws: web('ws', false),
  http: web('http', false),
  wss: web('ws', true),
  https: web('http', true),
} as const satisfies { readonly [K in Kind]: Scheme<UriOf<K>> } & Record<string, unknown>;

const FORMS =
  `${tcp.form}, ${unix.form}, ${file.form}, ` +
  `${SCHEMES.ws.form} or ${SCHEMES.http.form} (wss: and https: over TLS)`;

/** The row of a URI's kind. */
const schemeOf = <K extends Kind>(uri: UriOf<K>): Scheme<UriOf<K>> =>
  SCHEMES[uri.kind as K] as unknown as Scheme<UriOf<K>>;

/** @throws MultifdError ERR_URI; ERR_OPTION for what is neither a text nor a URL. */
export function parseUri(given: UriLike): MigrationUri {
  if (typeof given !== 'string' && !(given instanceof URL)) refuse('uri', given, FORMS);
  const text = typeof given === 'string' ? given : textOf(given);
  const colon = text.indexOf(':');
  const name = colon < 0 ? '' : text.slice(0, colon);
  const parsed = Object.hasOwn(SCHEMES, name)
    ? SCHEMES[name as keyof typeof SCHEMES].parse(text.slice(colon + 1))
    : 'unknown kind';
  if (typeof parsed !== 'string') return parsed;
  throw new MultifdError('ERR_URI', `${JSON.stringify(text)}: ${parsed}; a URI is ${FORMS}`);
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

/** @throws MultifdError as {@link parseUri}; ERR_URI for a file, with what is said of it. */
export function parseConnectionUri(given: UriLike, ofFile: (uri: string) => string): ConnectionUri {
  const parsed = parseUri(given);
  if (parsed.kind !== 'file') return parsed;
  throw new MultifdError('ERR_URI', ofFile(String(given)));
}

export function formatUri(uri: MigrationUri): string {
  return schemeOf(uri).format(uri);
}

/** The host that a certificate has to be for. */
export function hostOf(uri: ConnectionUri): string | undefined {
  return schemeOf(uri).host(uri);
}

/** Whether any client could connect to it without a token. */
export function needsToken(uri: ConnectionUri): boolean {
  return schemeOf(uri).needsToken;
}
