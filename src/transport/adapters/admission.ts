import { givenArray } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { checkToken, sameToken, tokenOf } from './token.ts';

/** Who may connect by a request. */
export interface Admission {
  /** What a request has to show (none). */
  token?: string | undefined;
  /** Of which origins a page may come; see {@link checkAdmission}. */
  origins?: readonly string[] | undefined;
}

/** What a request says of who makes it: its headers, of those that are there. */
export interface Claims {
  authorization: string | null | undefined;
  /** `Sec-WebSocket-Protocol`. */
  protocols: string | null | undefined;
  /** Of a page's request; nobody else sends it. */
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

/** What there is to do about {@link refusalOf}'s answer, for whoever runs this end. */
export function adviceOn(status: number, origin: string | null | undefined): string {
  if (status !== 403) return '';
  const named = JSON.stringify((origin ?? '').slice(0, SHOWN));
  return `: it is a page's, of the origin ${named}, which may come if it is named, or has a token`;
}
