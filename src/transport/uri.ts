import { MultifdError } from '../errors.ts';

/** Where a migration goes to or comes from, as QEMU's migration URIs name it. */
export type MigrationUri =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly offset: number };

/** A URI with connections behind it. */
export type SocketUri = Exclude<MigrationUri, { kind: 'file' }>;

const FORMS = 'tcp:HOST:PORT (an IPv6 host in brackets), unix:PATH or file:PATH[,offset=N]';

/** @throws MultifdError ERR_URI. */
export function parseUri(text: string): MigrationUri {
  const bad = (why: string): MultifdError => new MultifdError('ERR_URI', `${JSON.stringify(text)}: ${why}; a URI is ${FORMS}`);
  const colon = text.indexOf(':');
  const rest = text.slice(colon + 1);
  switch (colon < 0 ? '' : text.slice(0, colon)) {
    case 'tcp': {
      const parts = /^(?:\[([0-9a-fA-F:.]+(?:%[^\]]+)?)\]|([^:[\]]*)):(\d{1,5})$/.exec(rest);
      if (parts === null) throw bad('no host and port');
      const port = Number(parts[3]);
      if (port > 65535) throw bad('the port is above 65535');
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
    default:
      throw bad('unknown kind');
  }
}

export function formatUri(uri: MigrationUri): string {
  if (uri.kind === 'tcp') return `tcp:${uri.host.includes(':') ? `[${uri.host}]` : uri.host}:${uri.port}`;
  if (uri.kind === 'unix') return `unix:${uri.path}`;
  return `file:${uri.path}${uri.offset === 0 ? '' : `,offset=${uri.offset}`}`;
}
