import { Guest, receive } from 'multifd';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Program, programProblem } from '../../support/program.ts';
import { errorOf } from '../../support/migration.ts';
import { Random, SEED } from '../../support/random.ts';
import { Credentials } from '../../support/tls.ts';

let credentials: Credentials;
beforeAll(async () => {
  credentials = await Credentials.create();
});
afterAll(() => credentials.remove());

test(
  'a running program moves over TLS; where the target is not the right one it goes on, SEED ' +
    `${SEED}`,
  async () => {
    const program = new Program(new WebAssembly.Memory({ initial: 20 }), new Random(SEED));
    program.start();
    const guest = new Guest({
      blocks: [{ id: 'ram', memory: program.memory }],
      stop: program.stop,
      resume: program.start,
    });
    for (const server of ['server-other', 'server']) {
      const memory = new WebAssembly.Memory({ initial: 20 });
      let started = false;
      const stop = new AbortController();
      const incoming = await receive({
        uri: 'tcp:127.0.0.1:0',
        blocks: { ram: memory },
        tls: { credsDir: credentials.of(server) },
        start: () => void (started = true),
        signal: stop.signal,
      });
      const moving = guest.migrate({
        uri: incoming.uri,
        tls: { credsDir: credentials.of('client') },
      });
      if (server === 'server-other') {
        expect(await errorOf(moving)).toMatchObject({ code: 'ERR_TLS' });
        stop.abort();
        await errorOf(incoming.completed);
        expect({ started, runs: program.running }).toEqual({ started: false, runs: true });
      } else {
        await moving;
        await incoming.completed;
        expect({ started, runs: program.running }).toEqual({ started: true, runs: false });
        expect(programProblem(memory)).toBeUndefined();
        expect(Buffer.from(memory.buffer).equals(Buffer.from(program.memory.buffer))).toBe(true);
      }
    }
  },
);
