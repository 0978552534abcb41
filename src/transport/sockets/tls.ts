import { constants, type X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import {
  checkServerIdentity,
  connect,
  type ConnectionOptions,
  createServer,
  type SecureContextOptions,
  type TlsOptions,
  type TLSSocket,
} from 'node:tls';
import { MultifdError } from '../../util/errors.ts';
import type { ClientTls, ServerTls } from './tls-credentials.ts';

/**
 * PSK suites are not among Node's defaults. This one has forward secrecy, and GnuTLS, which is what
 * QEMU has, knows it.
 */
const PSK_CIPHER = 'ECDHE-PSK-CHACHA20-POLY1305';
/**
 * What a source offers on top: of TLS 1.3 those with SHA-256, which a key without a hash of its own
 * goes with; and DHE, which costs twenty times as much per handshake, too much for a target that
 * lets any client begin one.
 */
const PSK_CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  PSK_CIPHER,
  'DHE-PSK-AES256-GCM-SHA384',
].join(':');
/** By their whole names, the only ones that Deno knows. */
const X509_CIPHERS_1_2 = ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305']
  .flatMap((cipher) => [`ECDHE-ECDSA-${cipher}`, `ECDHE-RSA-${cipher}`])
  .join(':');

const SOURCE: SecureContextOptions = { minVersion: 'TLSv1.2' };

/**
 * TLS 1.2 and no session tickets: a target must not send anything unasked for. In TLS 1.3 OpenSSL
 * sends tickets after the handshake, and Node has no option against it. A QEMU without return path
 * never reads what a target sends; it closes its connections with the tickets unread, so that they
 * are reset, and the last pages, which it believes to be delivered, are lost (each time, in tests
 * over TCP). Renegotiation, which TLS 1.3 has no more, is off: a peer keeps its identity.
 */
const TARGET: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
};

/**
 * The source's half of a handshake over `raw`, a connection that stands. What it gives emits
 * `secureConnect`, or `error`.
 */
export function startTls(raw: Socket, tls: ClientTls): TLSSocket {
  if (tls.kind === 'psk') {
    const { username, key } = tls;
    return connect({
      ...SOURCE,
      socket: raw,
      ciphers: PSK_CIPHERS,
      pskCallback: () => ({ identity: username, psk: key }),
      // TLS 1.3 leaves it to the target whether to take the key or to show a certificate instead.
      // A target that has only that is refused.
      ca: [],
      checkServerIdentity: (_, { raw: certificate }) =>
        certificate === undefined ? undefined : new Error(CERTIFICATE_FOR_KEY),
    });
  }
  return connect({ ...clientContext(tls), socket: raw });
}

/** A source's options for TLS with certificates. */
export function clientContext({
  ca,
  crl,
  cert,
  key,
  verifyPeer,
  hostname,
}: Extract<ClientTls, { kind: 'x509' }>): ConnectionOptions {
  return {
    ...SOURCE,
    ...x509Context({ ca, crl, cert, key }),
    rejectUnauthorized: verifyPeer,
    ...(hostname !== undefined && isIP(hostname) === 0 && { servername: hostname }),
    checkServerIdentity: (_, certificate) =>
      hostname === undefined ? undefined : checkServerIdentity(hostname, certificate),
  };
}

/**
 * The target's half of a handshake over `raw`, a connection that was just accepted.
 * @param timeout milliseconds until it has to be done.
 * @throws MultifdError ERR_TLS: why the source was refused, or has refused us. The connection is
 *   closed then.
 */
export function acceptTls(raw: Socket, tls: ServerTls, timeout: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // A server of its own for each connection, which never listens: what comes out of it belongs to
    // what went in.
    const server = createServer({ ...serverContext(tls), handshakeTimeout: timeout });
    const refuse = (why: string, cause?: unknown): void => {
      raw.destroy();
      reject(new MultifdError('ERR_TLS', why, { cause }));
    };
    server.once('tlsClientError', (error, socket) => {
      socket.on('error', () => {}); // told here
      // A certificate that does not verify is no error of the handshake to Node, which just cuts
      // the connection.
      const unverified = socket.authorizationError as unknown as string | undefined;
      refuse(
        explainTls(unverified ? Object.assign(new Error(unverified), { code: unverified }) : error),
        error,
      );
    });
    server.once('secureConnection', (socket) => {
      breakOnError(socket);
      const unwanted = notAuthorized(socket, tls);
      if (unwanted !== undefined) {
        socket.destroy();
        return refuse(unwanted);
      }
      resolve(socket);
    });
    server.emit('connection', raw);
  });
}

/** Why a source's certificate, which verifies, does not let it in; undefined if it does. */
export function notAuthorized(socket: TLSSocket, tls: ServerTls): string | undefined {
  if (tls.kind !== 'x509' || tls.authz === undefined) return undefined;
  const name = distinguishedName(socket.getPeerX509Certificate());
  return tls.authz.includes(name)
    ? undefined
    : `its certificate is for ${name}, which authz does not name`;
}

/** A target's options. The caller that takes the connection checks {@link notAuthorized}. */
export function serverContext(tls: ServerTls): TlsOptions {
  if (tls.kind === 'psk')
    return {
      ...TARGET,
      ciphers: PSK_CIPHER,
      pskCallback: (_, username) => tls.keys.get(username) ?? null,
    };
  return {
    ...TARGET,
    ...x509Context(tls),
    ciphers: X509_CIPHERS_1_2,
    requestCert: tls.verifyPeer,
    rejectUnauthorized: tls.verifyPeer,
  };
}

function x509Context({
  ca,
  crl,
  cert,
  key,
}: {
  ca: string;
  crl: string | undefined;
  cert: string | undefined;
  key: string | undefined;
}): SecureContextOptions {
  return { ca, ...(crl !== undefined && { crl }), ...(cert !== undefined && { cert, key }) };
}

/**
 * A certificate's subject as GnuTLS writes it for QEMU's authz objects: the parts in the
 * certificate's own order (RFC 4514 would reverse it), with RFC 4514's escapes. Node gives one part
 * a line.
 */
function distinguishedName(certificate: X509Certificate | undefined): string {
  return (certificate?.subject ?? '')
    .split('\n')
    .map((part) => part.replace(/^emailAddress=/, 'EMAIL='))
    .join(',');
}

const CERTIFICATE_FOR_KEY =
  'it shows a certificate where a key of keys.psk is expected: use the same kind of ' +
  'credentials at both ends';
const NO_TLS =
  'it does not speak TLS, or something between the two ends does not: use TLS at both ends ' +
  'or at none';
const REFUSED = 'it refused our certificate or key: its own output says why';

const STRANGE = 'its certificate is not one that ca-cert.pem vouches for';
const OTHER_KEY = 'its key is not the one that its username has in keys.psk';

/** By the code that OpenSSL's errors have in Node: what it means here. */
const MEANINGS: Readonly<Record<string, string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_HTTP_REQUEST: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
  SELF_SIGNED_CERT_IN_CHAIN: STRANGE,
  DEPTH_ZERO_SELF_SIGNED_CERT: STRANGE,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: STRANGE,
  UNABLE_TO_GET_ISSUER_CERT: STRANGE,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: STRANGE,
  CERT_SIGNATURE_FAILURE: STRANGE,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: are the clocks right?',
  CERT_REVOKED: 'its certificate has been revoked, as ca-crl.pem says',
  INVALID_PURPOSE: 'its certificate is not meant for its end of a connection',
  // The first record after the keys are agreed on does not decrypt: which error that is depends on
  // the cipher and on OpenSSL's version.
  ERR_SSL_CIPHER_OPERATION_FAILED: OTHER_KEY,
  ERR_SSL_DIGEST_CHECK_FAILED: OTHER_KEY,
  ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: OTHER_KEY,
  ERR_SSL_PSK_IDENTITY_NOT_FOUND: 'it has a username that keys.psk does not know',
  ERR_SSL_NO_SHARED_CIPHER: 'it has another kind of credentials, or knows none of our ciphers',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    'it has no certificate: give it client-cert.pem and client-key.pem, or turn verify-peer ' +
    'off here',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'it did not finish the handshake in time',
  ECONNRESET:
    'it hung up in the middle of the handshake: it uses no TLS, or refuses us for a reason ' +
    'that its own output says',
};

/** What an error of a TLS connection means, for people, with the library's own words. */
export function explainTls(error: Error): string {
  const { code = '', reason } = error as NodeJS.ErrnoException & { reason?: string };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return (
      'its certificate is for another host; if it is the right one, give the TLS hostname that ' +
      `it has. ${reason}`
    );
  const meaning = MEANINGS[code] ?? (isTlsRefusal(error) ? REFUSED : undefined);
  return meaning === undefined ? (reason ?? error.message) : `${meaning} (${code})`;
}

/**
 * For an established connection: makes an error destroy it, so that its `errored` is set for the
 * next read or write. Node by itself only emits an event for an alert or a broken record, to the
 * listeners of that moment.
 */
export function breakOnError(socket: TLSSocket): void {
  socket.on('error', (error) => socket.destroy(error));
}

/** Whether it is TLS that an error of a connection is about. */
export function isTlsError(error: Error): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return (
    code === 'EPROTO' || /^ERR_(SSL|TLS)_/.test(code) || (code in MEANINGS && code !== 'ECONNRESET')
  );
}

/** Whether the peer has said by an alert that it wants no connection with us. */
export function isTlsRefusal(error: Error): boolean {
  return /^ERR_SSL_.*_ALERT_/.test((error as NodeJS.ErrnoException).code ?? '');
}
