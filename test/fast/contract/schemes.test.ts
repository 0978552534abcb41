import { expect, test } from 'vitest';
import type { Adapters } from '../../../src/transport/listener.ts';
import { ADAPTERS } from '../../../src/transport/runtime/node.ts';
import { ADAPTERS as WEB } from '../../../src/transport/runtime/web.ts';
import { ADAPTERS as WORKERD } from '../../../src/transport/runtime/workerd.ts';
import {
  formatUri,
  hostOf,
  needsToken,
  parseConnectionUri,
} from '../../../src/transport/schemes.ts';

/** The compiler refuses a kind of URI without an adapter; it is asked by `npm run check`. */
const { ws: _, ...others } = ADAPTERS;
// @ts-expect-error a scheme without an adapter
export const WITHOUT_ADAPTER: Adapters = others;

const ofFile = (uri: string): string => `${uri} is a file`;

test.each([
  ['tcp:host:1', 'host', false],
  ['tcp:[::1]:1', '::1', false],
  ['tcp::4444', '127.0.0.1', false],
  ['unix:/a/socket', undefined, false],
  ['ws://host:1/path?query', 'host', true],
  ['wss://[::1]:1/', '::1', true],
  ['http://host:80/', 'host', true],
  ['https://host:443/a', 'host', true],
])('%s is written as it was read', (text, host, token) => {
  const uri = parseConnectionUri(text, ofFile);
  expect(formatUri(uri)).toBe(text);
  expect(hostOf(uri)).toBe(host);
  expect(needsToken(uri)).toBe(token);
});

test('every runtime has an adapter for each kind, if only to say that it has none', async () => {
  for (const adapters of [ADAPTERS, WEB, WORKERD]) {
    expect(Object.keys(adapters).sort()).toEqual(['http', 'tcp', 'unix', 'ws']);
  }
  expect(() => parseConnectionUri('file:/a', ofFile)).toThrow('file:/a is a file');
});
