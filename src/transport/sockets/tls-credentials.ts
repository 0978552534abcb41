import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { ifThere, readText } from '#files';
import { givenOptions, type OptionNames } from '../../util/options.ts';
import { givenArray, givenPath, givenText } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';

/** TLS of the outgoing end. */
export interface OutgoingTls {
  /**
   * A folder with QEMU's file names: `ca-cert.pem` [, `client-cert.pem`, `client-key.pem`,
   * `ca-crl.pem`], or `keys.psk`.
   */
  credsDir: string;
  /** The name that the target's certificate has to be valid for (the host of a `tcp:` URI). */
  hostname?: string;
  /** Refuse a target whose certificate does not verify (true). */
  verifyPeer?: boolean;
  /** Whose line of `keys.psk` to use ("qemu"). */
  pskUsername?: string;
}

const OUTGOING_TLS_NAMES = {
  credsDir: true,
  hostname: true,
  verifyPeer: true,
  pskUsername: true,
} as const satisfies OptionNames<OutgoingTls>;

/** TLS of the incoming end. */
export interface IncomingTls {
  /**
   * A folder with QEMU's file names: `ca-cert.pem`, `server-cert.pem`, `server-key.pem` [,
   * `ca-crl.pem`], or `keys.psk`.
   */
  credsDir: string;
  /** Refuse a source without a certificate, or with one that does not verify (true). */
  verifyPeer?: boolean;
  /**
   * The distinguished names of the certificates that may come (any that verifies), each as QEMU's
   * authz objects have it: the parts in the order in which the certificate has them, separated by
   * commas without spaces, as in `C=GB,O=Example,CN=source.example.com`.
   */
  authz?: readonly string[];
}

const INCOMING_TLS_NAMES = {
  credsDir: true,
  verifyPeer: true,
  authz: true,
} as const satisfies OptionNames<IncomingTls>;

/** The contents of a folder with certificates. PEM text. */
interface X509Files {
  kind: 'x509';
  ca: string;
  crl: string | undefined;
  cert: string | undefined;
  key: string | undefined;
  verifyPeer: boolean;
}

/**
 * What a source needs for its handshakes. Structured-cloneable: each channel's thread makes its
 * own.
 */
export type ClientTls =
  | (X509Files & { hostname: string | undefined })
  | { kind: 'psk'; username: string; key: Uint8Array };

/** What a target needs for its handshakes. */
export type ServerTls =
  | (X509Files & { authz: readonly string[] | undefined })
  | { kind: 'psk'; keys: ReadonlyMap<string, Uint8Array> };

const CA = 'ca-cert.pem';
const CRL = 'ca-crl.pem';
const KEYS = 'keys.psk';
const DEFAULT_USERNAME = 'qemu';

/**
 * Reads and checks a source's credentials.
 * @param host the host of the target's URI, if it has one.
 * @throws MultifdError ERR_OPTION, ERR_IO for a file that is missing or can't be read, ERR_TLS
 *   for what is in it.
 */
export async function loadClientTls(
  options: OutgoingTls,
  host: string | undefined,
): Promise<ClientTls> {
  const {
    credsDir,
    hostname = host,
    verifyPeer = true,
    pskUsername,
  } = givenOptions('tls', options, OUTGOING_TLS_NAMES, '{ credsDir }');
  givenPath('tls, credsDir', credsDir);
  if (options.hostname !== undefined) givenText('tls, hostname', options.hostname);
  if (pskUsername !== undefined) givenText('tls, pskUsername', pskUsername);
  if ((await kindOf(credsDir)) === 'psk') {
    if (options.hostname !== undefined) throw notForPsk(credsDir, 'a hostname');
    if (options.verifyPeer === false) throw notForPsk(credsDir, 'verify-peer off');
    const username = pskUsername ?? DEFAULT_USERNAME;
    const key = (await readKeys(credsDir)).get(username);
    if (key === undefined)
      throw new MultifdError(
        'ERR_TLS',
        `${join(credsDir, KEYS)} has no key of ${JSON.stringify(username)}: add a line for ` +
          'it, or give the username whose key to use',
      );
    return { kind: 'psk', username, key };
  }
  if (pskUsername !== undefined)
    throw new MultifdError(
      'ERR_OPTION',
      `a PSK username is for ${KEYS}, but ${credsDir} holds certificates`,
    );
  if (verifyPeer && hostname === undefined) {
    throw new MultifdError(
      'ERR_OPTION',
      "the target's URI has no host to check its certificate against: give a TLS hostname",
    );
  }
  return { ...(await readX509(credsDir, 'client', verifyPeer)), hostname };
}

/**
 * Reads and checks a target's credentials.
 * @throws MultifdError ERR_OPTION, ERR_IO for a file that is missing or can't be read, ERR_TLS
 *   for what is in it.
 */
export async function loadServerTls(options: IncomingTls): Promise<ServerTls> {
  const {
    credsDir,
    verifyPeer = true,
    authz,
  } = givenOptions('tls', options, INCOMING_TLS_NAMES, '{ credsDir }');
  givenPath('tls, credsDir', credsDir);
  for (const name of authz === undefined
    ? []
    : givenArray('tls, authz', authz, 'an array of strings'))
    givenText('tls, authz', name);
  if (authz !== undefined && !verifyPeer)
    throw new MultifdError(
      'ERR_OPTION',
      'authz names certificates, which nobody has to show with verify-peer off',
    );
  if ((await kindOf(credsDir)) === 'psk') {
    if (authz !== undefined) throw notForPsk(credsDir, 'authz');
    if (!verifyPeer) throw notForPsk(credsDir, 'verify-peer off');
    return { kind: 'psk', keys: await readKeys(credsDir) };
  }
  return { ...(await readX509(credsDir, 'server', verifyPeer)), authz };
}

function notForPsk(folder: string, option: string): MultifdError {
  return new MultifdError(
    'ERR_OPTION',
    `${option} is for certificates, but ${folder} holds ${KEYS}, where a key is all the ` +
      'proof there is',
  );
}

async function kindOf(folder: string): Promise<'x509' | 'psk'> {
  const [ca, keys] = await Promise.all([read(folder, CA), read(folder, KEYS)]);
  if (ca !== undefined && keys !== undefined)
    throw new MultifdError(
      'ERR_TLS',
      `${folder} holds both ${CA} and ${KEYS}: use a folder of its own for each kind of ` +
        'credentials',
    );
  if (ca === undefined && keys === undefined) {
    throw new MultifdError(
      'ERR_IO',
      `${folder} holds no TLS credentials: put ${CA} and the other certificates there, or ${KEYS}`,
    );
  }
  return ca === undefined ? 'psk' : 'x509';
}

async function readX509(
  folder: string,
  end: 'client' | 'server',
  verifyPeer: boolean,
): Promise<X509Files> {
  const certName = `${end}-cert.pem`;
  const keyName = `${end}-key.pem`;
  const [ca, crl, cert, key] = await Promise.all([
    read(folder, CA),
    read(folder, CRL),
    read(folder, certName),
    read(folder, keyName),
  ]);
  if (end === 'server' && cert === undefined)
    throw missing(folder, certName, 'a target needs a certificate');
  if (cert !== undefined && key === undefined)
    throw missing(folder, keyName, `${certName} is of no use without its key`);
  if (key !== undefined && cert === undefined)
    throw missing(folder, certName, `${keyName} is of no use without its certificate`);
  checkCertificates(join(folder, CA), ca!);
  if (cert !== undefined && key !== undefined) {
    const [own] = checkCertificates(join(folder, certName), cert);
    if (!own!.checkPrivateKey(parseKey(join(folder, keyName), key)))
      throw new MultifdError(
        'ERR_TLS',
        `${join(folder, keyName)} is not the key of ${certName}: put the two that belong ` +
          'together there',
      );
  }
  try {
    // What is left to find wrong: a list of revoked certificates that can't be read, a key that is
    // too weak, and the like.
    createSecureContext({
      ca: ca!,
      ...(crl !== undefined && { crl }),
      ...(cert !== undefined && { cert, key }),
    });
  } catch (cause) {
    throw new MultifdError(
      'ERR_TLS',
      `the credentials in ${folder} can't be used: ${(cause as Error).message}`,
      { cause },
    );
  }
  return { kind: 'x509', ca: ca!, crl, cert, key, verifyPeer };
}

function missing(folder: string, name: string, why: string): MultifdError {
  return new MultifdError('ERR_IO', `${join(folder, name)} is missing: ${why}`);
}

/** Every certificate of a PEM file, each in its time. */
function checkCertificates(path: string, pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0)
    throw new MultifdError('ERR_TLS', `${path} holds no certificate in PEM form`);
  return blocks.map((block) => {
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(block);
    } catch (cause) {
      throw new MultifdError(
        'ERR_TLS',
        `${path} holds a broken certificate: ${(cause as Error).message}`,
        { cause },
      );
    }
    const { validFrom, validTo } = certificate;
    if (Date.parse(validTo) < Date.now())
      throw new MultifdError(
        'ERR_TLS',
        `the certificate in ${path} expired on ${validTo}: make a new one`,
      );
    if (Date.parse(validFrom) > Date.now())
      throw new MultifdError(
        'ERR_TLS',
        `the certificate in ${path} is not valid before ${validFrom}: is the clock right?`,
      );
    return certificate;
  });
}

/**
 * The reason is left out of the message on purpose: it is a library's, and what it may quote of a
 * key is not known.
 */
function parseKey(path: string, pem: string): KeyObject {
  if (pem.includes('ENCRYPTED'))
    throw new MultifdError(
      'ERR_TLS',
      `${path} is encrypted, and nobody is there to ask for the passphrase: store the key ` +
        'without one',
    );
  try {
    return createPrivateKey(pem);
  } catch {
    throw new MultifdError('ERR_TLS', `${path} holds no private key in PEM form`);
  }
}

/** The keys of keys.psk: a line `username:hexkey` for each, as GnuTLS's psktool writes them. */
async function readKeys(folder: string): Promise<Map<string, Uint8Array>> {
  const path = join(folder, KEYS);
  const keys = new Map<string, Uint8Array>();
  for (const [index, line] of ((await read(folder, KEYS)) ?? '').split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const parts = /^([^:]+):((?:[0-9a-fA-F]{2})+)$/.exec(line);
    if (parts === null)
      throw new MultifdError(
        'ERR_TLS',
        `${path}, line ${index + 1} is not of the form username:hexkey`,
      );
    keys.set(parts[1]!, Uint8Array.from(Buffer.from(parts[2]!, 'hex')));
  }
  if (keys.size === 0)
    throw new MultifdError('ERR_TLS', `${path} holds no key: add a line username:hexkey`);
  return keys;
}

/** A file's text, or undefined when there is none. Throws MultifdError ERR_IO. */
function read(folder: string, name: string): Promise<string | undefined> {
  return ifThere(readText(join(folder, name)));
}
