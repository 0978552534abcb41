import { type ChildProcess, fork } from 'node:child_process';
import type { Outcome, TargetMessage } from './messages.ts';

/** It reads the modules, and listens on a port. */
const DENO_ARGUMENTS = [
  'run',
  '--allow-read',
  '--allow-env',
  '--allow-net=127.0.0.1',
  '--no-prompt',
  '--quiet',
];

/** The target's process, as its parent sees it. */
export class TargetProcess {
  readonly child: ChildProcess;
  /** Where it waits for the source. */
  readonly listening: Promise<string>;
  /** What became of the database there. */
  readonly outcome: Promise<Outcome>;

  /** @param deno its binary, to run in that; else in the Node that runs this. */
  constructor(program: URL, deno?: string) {
    const runtime = deno === undefined ? {} : { execPath: deno, execArgv: DENO_ARGUMENTS };
    this.child = fork(program, { ...runtime, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const ended = new Promise<never>((_, reject) => {
      this.child.once('error', reject);
      this.child.once('exit', (status, signal) =>
        reject(new Error(`the target's process ended (${signal ?? `status ${status}`})`)),
      );
    });
    const said = <Kind extends TargetMessage['kind']>(
      kind: Kind,
    ): Promise<Extract<TargetMessage, { kind: Kind }>> => {
      const message = new Promise<Extract<TargetMessage, { kind: Kind }>>((resolve, reject) => {
        this.child.on('message', (message: TargetMessage) => {
          if (message.kind === kind) resolve(message as Extract<TargetMessage, { kind: Kind }>);
          if (message.kind === 'failed') reject(new Error(`the target: ${message.message}`));
        });
      });
      const either = Promise.race([message, ended]);
      either.catch(() => {}); // its waiter is told
      return either;
    };
    this.listening = said('listening').then(({ uri }) => uri);
    this.outcome = said('verified').then(({ outcome }) => outcome);
    this.listening.catch(() => {});
    this.outcome.catch(() => {});
  }

  stop(): void {
    this.child.kill();
  }
}
