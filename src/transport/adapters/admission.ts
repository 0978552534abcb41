import { givenArray } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';

/** Who may connect by a request. */
export interface Admission {
  /** What a request has to show (none). */
  token?: string | undefined;
  /** Of which origins a page may come; see {@link checkAdmission}. */
  origins?: readonly string[] | undefined;
}

/** A request's headers that identify its client, of those that are there. */
export interface Claims {
  authorization: string | null | undefined;
  /** `Sec-WebSocket-Protocol`. */
  protocols: string | null | undefined;
  /** Sent with a web page's request only. */
  origin: string | null | undefined;
}

const ANY = '*';
/** Of an extension as well, say; no page is of `ws:`. */
const ORIGIN = /^(?!wss?:)[a-z][a-z0-9+.-]*:\/\/[^\s/?#\\@*]+$/;

/** @throws MultifdError ERR_OPTION for a token that can be in no header, and what is no origin. */
export function checkAdmission({ token, origins }: Admission): void {
  checkToken(token);
  if (origins === undefined) return;
  for (const origin of givenArray('origins', origins, 'an array of origins')) {
    const why = wrongWith(origin);
    if (why !== undefined) {
      throw new MultifdError('ERR_OPTION', `origin ${JSON.stringify(origin)}: ${why}`);
    }
  }
}

/** What is compared is the text that browsers send: RFC 6454, 6.2, as the HTML standard has it. */
function wrongWith(origin: unknown): string | undefined {
  if (origin === ANY) return undefined;
  // A page in a sandboxed frame says so, and any page can make one.
  if (origin === 'null') return 'any page can say that it is of this one; give * if any may come';
  const form = 'give SCHEME://HOST[:PORT] as a browser sends it, or *';
  if (typeof origin !== 'string') return form;
  if (/^https?:/.test(origin) && URL.canParse(origin)) {
    const sent = new URL(origin).origin;
    if (sent !== origin) return `a browser sends ${sent} for that`;
  }
  return ORIGIN.test(origin) ? undefined : form;
}

/**
 * A browser connects to whatever a page names, also on the user's own machine, and tells where the
 * page is from. So without a token a page is let in only if its origin is named. That the request
 * is for our own name would say nothing: a page can give its host our address (DNS rebinding).
 * @returns the status to refuse it with; undefined if it may come.
 */
export function refusalOf(claims: Claims, { token, origins }: Admission): 401 | 403 | undefined {
  if (token !== undefined && !sameToken(token, tokenOf(claims))) return 401;
  if (claims.origin == null) return undefined;
  const allowed = origins ?? (token === undefined ? [] : [ANY]);
  return allowed.includes(ANY) || allowed.includes(claims.origin) ? undefined : 403;
}

const SHOWN = 100;

/** What to do about {@link refusalOf}'s answer, for the operator of this end. */
export function adviceOn(status: number, origin: string | null | undefined): string {
  if (status !== 403) return '';
  const named = JSON.stringify((origin ?? '').slice(0, SHOWN));
  return `: it is a page's, of the origin ${named}, which may come if it is named, or has a token`;
}

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
