import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import 'reflect-metadata'; // the certificate library looks for it
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 24 * 3600 * 1000;

export interface Identity {
  /** The subject, its parts in the order in which they are encoded. */
  name?: string;
  dns?: readonly string[];
  ip?: readonly string[];
  /** Days from today: when it ends (1) and when it begins (-1). */
  until?: number;
  from?: number;
}

export interface Issued {
  cert: string;
  key: string;
  serialNumber: string;
}

/** A certificate authority that a test makes for itself. */
export class Authority {
  readonly #certificate: x509.X509Certificate;
  readonly #key: CryptoKey;
  #serial = 1;

  private constructor(certificate: x509.X509Certificate, key: CryptoKey) {
    this.#certificate = certificate;
    this.#key = key;
  }

  static async create(name = 'CN=Test authority'): Promise<Authority> {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name,
      notBefore: new Date(Date.now() - DAY),
      notAfter: new Date(Date.now() + 2 * DAY),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Authority(certificate, keys.privateKey);
  }

  get pem(): string {
    return this.#certificate.toString('pem');
  }

  async issue(
    end: 'server' | 'client',
    { name = `CN=${end}`, dns = [], ip = [], from = -1, until = 1 }: Identity = {},
  ): Promise<Issued> {
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const serialNumber = (++this.#serial).toString(16).padStart(2, '0');
    const names = [
      ...dns.map((value) => ({ type: 'dns' as const, value })),
      ...ip.map((value) => ({ type: 'ip' as const, value })),
    ];
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber,
      subject: name,
      issuer: this.#certificate.subject,
      notBefore: new Date(Date.now() + from * DAY),
      notAfter: new Date(Date.now() + until * DAY),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        // QEMU 10.0 wants key encipherment of every certificate, also of those whose keys can't do
        // that.
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
          true,
        ),
        new x509.ExtendedKeyUsageExtension([
          end === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
        ]),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    });
    const exported = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString(
      'base64',
    );
    const key =
      `-----BEGIN PRIVATE KEY-----\n${exported.match(/.{1,64}/g)!.join('\n')}\n-----END ` +
      `PRIVATE KEY-----\n`;
    return { cert: certificate.toString('pem'), key, serialNumber };
  }

  /** The list of those that are valid no more. */
  async revoke(...revoked: readonly Issued[]): Promise<string> {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.#certificate.subject,
      thisUpdate: new Date(Date.now() - DAY),
      nextUpdate: new Date(Date.now() + DAY),
      signingAlgorithm: ALGORITHM,
      signingKey: this.#key,
      entries: revoked.map(({ serialNumber }) => ({
        serialNumber,
        revocationDate: new Date(Date.now() - DAY / 2),
      })),
    });
    return list.toString('pem').replaceAll(/(BEGIN|END) CRL/g, '$1 X509 CRL');
  }
}

/** A folder `name` in `parent` with these files; gives its path. */
export async function folderOf(
  parent: string,
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = join(parent, name);
  await mkdir(folder);
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
  return folder;
}

/**
 * A folder with the credentials of one end, by QEMU's file names. Without a certificate: those of
 * an anonymous client.
 */
export function x509Folder(
  parent: string,
  name: string,
  authority: Authority,
  end: 'server' | 'client',
  own?: Issued,
): Promise<string> {
  return folderOf(parent, name, {
    'ca-cert.pem': authority.pem,
    ...(own && { [`${end}-cert.pem`]: own.cert, [`${end}-key.pem`]: own.key }),
  });
}

export const KEY = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';
export const OTHER_KEY = KEY.replaceAll('0', 'f');

/** A folder with keys of these users. */
export function pskFolder(
  parent: string,
  name: string,
  keys: Readonly<Record<string, string>>,
): Promise<string> {
  return folderOf(parent, name, {
    'keys.psk': Object.entries(keys)
      .map(([user, key]) => `${user}:${key}\n`)
      .join(''),
  });
}
