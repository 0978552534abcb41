import { MultifdError } from '../../util/errors.ts';

/**
 * Browsers let a page set no header on a WebSocket, but a list of protocols: the token is in one of
 * them, as Kubernetes does it.
 */
export const PROTOCOL = 'multifd';
const BEARER = 'bearer.';

/** The protocols that a client without headers asks for. */
export function protocolsFor(token: string | undefined): string[] {
  return token === undefined
    ? [PROTOCOL]
    : [
        PROTOCOL,
        BEARER + btoa(token).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
      ];
}

/** The token that a request brings, in either way. */
export function tokenOf(headers: {
  authorization: string | null | undefined;
  protocols: string | null | undefined;
}): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '');
  if (bearer !== null) return bearer[1];
  const coded = (headers.protocols ?? '')
    .split(',')
    .map((name) => name.trim())
    .find((name) => name.startsWith(BEARER));
  if (coded === undefined) return undefined;
  try {
    return atob(coded.slice(BEARER.length).replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return undefined; // no base64: no token
  }
}

/** What RFC 6750 lets a bearer token be. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/** @throws MultifdError ERR_OPTION for a token that can be in no header. */
export function checkToken(token: string | undefined): void {
  if (token !== undefined && (typeof token !== 'string' || !TOKEN.test(token)))
    throw new MultifdError(
      'ERR_OPTION',
      'a token is made of letters, digits and - . _ ~ + /, with = at its end',
    );
}

/** Whether they are the same, in a time that does not tell where they differ. */
export function sameToken(expected: string, shown: string | undefined): boolean {
  const [a, b] = [expected, shown ?? ''].map((token) => new TextEncoder().encode(token)) as [
    Uint8Array,
    Uint8Array,
  ];
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= a[at]! ^ (b[at % Math.max(1, b.length)] ?? 0);
  return difference === 0;
}
