import * as zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leavingNothing } from '../../support/migration.ts';
import { CLIENT_NAME, type Case, Credentials, migrate } from '../../support/tls.ts';

const HOSTNAME = 'target.example.com';

describe('TLS between two ends of this project', () => {
  let credentials: Credentials;
  const of = (name: string): { credsDir: string } => ({ credsDir: credentials.of(name) });

  beforeAll(async () => {
    credentials = await Credentials.create();
  });
  afterAll(() => credentials.remove());

  describe('moves everything', () => {
    const compressions = ['none', 'zlib', 'zstd'] as const;
    const shapes = [1, 2, 4].flatMap((channels) =>
      compressions.map((compression) => ({ channels, compression })),
    );

    it.each([
      { kind: 'x509', source: 'client', target: 'server-named', hostname: HOSTNAME },
      { kind: 'PSK', source: 'psk', target: 'psk', hostname: undefined },
    ])(
      '$kind, with 1, 2 and 4 channels, each compression, over tcp and unix, inline and in ' +
        'workers',
      async ({ source, target, hostname }) => {
        for (const socket of ['tcp', 'unix'] as const) {
          for (const inline of [true, false]) {
            for (const shape of shapes) {
              if (inline && shape.compression === 'zstd' && !('createZstdCompress' in zlib))
                continue; // refused there, as without TLS
              await leavingNothing(async () => {
                const ends = await migrate({
                  source: { ...of(source), ...(hostname && { hostname }) },
                  target: of(target),
                  socket,
                  common: { ...shape, inline },
                });
                expect(ends, JSON.stringify({ socket, inline, ...shape })).toEqual({
                  source: undefined,
                  target: undefined,
                  rejected: [],
                });
              });
            }
          }
        }
      },
    );

    it('without a return path, where nobody says at the end that all has come', async () => {
      for (const inline of [true, false]) {
        for (let again = 0; again < 5; again++) {
          await leavingNothing(async () => {
            const ends = await migrate({
              source: of('psk'),
              target: of('psk'),
              returnPath: false,
              length: 8 << 20,
              common: { channels: 4, inline },
            });
            expect(ends).toEqual({ source: undefined, target: undefined, rejected: [] });
          });
        }
      }
    });

    it.each<[string, () => Case]>([
      [
        'the host of the URI is in the certificate',
        () => ({ source: of('client'), target: of('server') }),
      ],
      [
        'a client without a certificate, with verify-peer off',
        () => ({ source: of('anonymous'), target: { ...of('server'), verifyPeer: false } }),
      ],
      [
        'a certificate for another host, with verify-peer off at the source',
        () => ({ source: { ...of('client'), verifyPeer: false }, target: of('server-named') }),
      ],
      [
        'over unix without a hostname, with verify-peer off at the source',
        () => ({
          source: { ...of('client'), verifyPeer: false },
          target: of('server'),
          socket: 'unix',
        }),
      ],
      [
        'a certificate that authz names',
        () => ({
          source: of('client'),
          target: { ...of('server'), authz: ['CN=someone else', CLIENT_NAME] },
        }),
      ],
      [
        'another username',
        () => ({ source: { ...of('psk'), pskUsername: 'alice' }, target: of('psk') }),
      ],
    ])('when %s', async (_, ends) => {
      await leavingNothing(async () => {
        expect(await migrate(ends())).toEqual({
          source: undefined,
          target: undefined,
          rejected: [],
        });
      });
    });
  });

  describe('is refused', () => {
    interface Refusal {
      what: string;
      ends: () => Case;
      /** Code and message at the source. */
      code: string;
      why?: RegExp;
      /** What the target tells, if it is the one that refuses. */
      told?: RegExp;
    }

    const refusals: Refusal[] = [
      {
        what: 'by the source: another authority',
        ends: () => ({
          source: of('client'),
          target: { ...of('server-other'), verifyPeer: false },
        }),
        code: 'ERR_TLS',
        why: /not one that ca-cert.pem vouches for/,
      },
      {
        what: 'by the source: another host',
        ends: () => ({ source: of('client'), target: of('server-named') }),
        code: 'ERR_TLS',
        why: /for another host/,
      },
      {
        what: 'by the source: another name than was given',
        ends: () => ({ source: { ...of('client'), hostname: HOSTNAME }, target: of('server') }),
        code: 'ERR_TLS',
        why: /for another host/,
      },
      {
        what: 'by the target: a key for a certificate',
        ends: () => ({ source: of('psk'), target: of('server') }),
        code: 'ERR_TLS',
        told: /another kind of credentials/,
      },
      {
        what: 'by the target: no certificate',
        ends: () => ({ source: of('anonymous'), target: of('server') }),
        code: 'ERR_TLS',
        told: /it has no certificate/,
      },
      {
        what: 'by the target: a certificate of another authority',
        ends: () => ({ source: of('client-stray'), target: of('server') }),
        code: 'ERR_TLS',
        why: /refuses us for a reason that its own output says/,
        told: /not one that ca-cert.pem vouches for/,
      },
      {
        what: 'by the target: a revoked certificate',
        ends: () => ({ source: of('client'), target: of('server-crl') }),
        code: 'ERR_TLS',
        told: /has been revoked/,
      },
      {
        what: 'by the target: a certificate that authz does not name',
        ends: () => ({
          source: of('client'),
          target: { ...of('server'), authz: ['CN=client', `${CLIENT_NAME},OU=x`] },
        }),
        code: 'ERR_TLS',
        told: /its certificate is for C=GB,O=Example\\, Inc,CN=client, which authz does not name/,
      },
      {
        what: 'by the target: authz that names nobody',
        ends: () => ({ source: of('client'), target: { ...of('server'), authz: [] } }),
        code: 'ERR_TLS',
        told: /authz does not name/,
      },
      {
        what: 'by the target: another key',
        ends: () => ({ source: of('psk-other'), target: of('psk') }),
        code: 'ERR_TLS',
        told: /its key is not the one/,
      },
      {
        what: 'by the target: an unknown username',
        ends: () => ({ source: { ...of('psk-other'), pskUsername: 'mallory' }, target: of('psk') }),
        code: 'ERR_TLS',
        told: /a username that keys.psk does not know/,
      },
      {
        what: 'by the target: a certificate for a key',
        ends: () => ({ source: of('client'), target: of('psk') }),
        code: 'ERR_TLS',
        told: /another kind of credentials/,
      },
      {
        what: 'by the target: a plain source',
        ends: () => ({ source: undefined, target: of('server') }),
        code: 'ERR_PEER_CLOSED',
        told: /does not speak TLS/,
      },
      {
        what: 'by a plain target',
        ends: () => ({ source: of('client'), target: undefined }),
        code: 'ERR_TLS',
        why: /uses no TLS/,
        told: /of TLS: use TLS at both ends/,
      },
    ];

    it.each(refusals)('$what', async ({ ends, code, why = /./, told }) => {
      for (const inline of [true, false]) {
        await leavingNothing(async () => {
          const { source, target, rejected } = await migrate({
            ...ends(),
            common: { inline, timeout: 5_000 },
          });
          expect(source).toMatchObject({ code, message: expect.stringMatching(why) });
          // A target goes on listening: the right source may still come.
          expect(target).toMatchObject({ code: 'ERR_CANCELLED' });
          if (told !== undefined) expect(rejected.length).toBeGreaterThan(0);
          for (const why of rejected)
            expect(why).toMatch(told ?? /it ended before it said what it is|it was reset/);
        });
      }
    });
  });
});
