import { expect, test } from 'vitest';
import { parseUri } from '../../../src/transport/schemes.ts';

test.each([0, 1, 65535])('port %i is one', (port) => {
  expect(parseUri(`tcp:host:${port}`)).toEqual({ kind: 'tcp', host: 'host', port });
});

test.each([65536, 99999])('port %i is none', (port) => {
  expect(() => parseUri(`tcp:host:${port}`)).toThrow('the port is above 65535');
});
