import { Guest } from 'multifd';
import { expect, test } from 'vitest';
import { errorOf } from '../../support/migration.ts';

test.each(['postcopy', 'resume', 'postcopyPreempt'])('a Guest and %s', async (name) => {
  const guest = new Guest({
    blocks: [{ id: 'ram', memory: new Uint8Array(4096) }],
    stop() {},
    resume() {},
  } as never);
  const error = await errorOf(guest.migrate({ uri: 'tcp:127.0.0.1:1', [name]: true } as never));
  expect(error.code).toBe('ERR_UNSUPPORTED');
  expect(error.message).toContain('page');
});
