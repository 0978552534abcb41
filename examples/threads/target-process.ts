import { type ChildProcess, fork } from 'node:child_process';
import type { CrewState } from './crew.ts';

/** What the target's process says, in this order. */
export interface TargetSays {
  /** It waits for the source. */
  listening: string;
  /** The guest is there, and its threads have not begun yet. */
  arrived: CrewState;
  /** They have been through all pages once more, and rest. */
  ended: CrewState;
}

export type TargetMessage = {
  [Kind in keyof TargetSays]: { kind: Kind; content: TargetSays[Kind] };
}[keyof TargetSays];

/** The target's process, as its parent sees it. */
export class TargetProcess {
  readonly child: ChildProcess;
  readonly #ended: Promise<never>;
  readonly #said = new Map<string, unknown>();

  constructor(program: URL, mebibytes: number) {
    this.child = fork(program, [String(mebibytes)]);
    this.child.on(
      'message',
      ({ kind, content }: TargetMessage) => void this.#said.set(kind, content),
    );
    this.#ended = new Promise((_, reject) => {
      this.child.once('error', reject);
      // Messages that came before are read before this.
      this.child.once('close', (status, signal) =>
        reject(new Error(`the target's process ended (${signal ?? `status ${status}`})`)),
      );
    });
    this.#ended.catch(() => {}); // its waiters are told
  }

  /** Waits for it to say something, or to end. */
  async says<Kind extends keyof TargetSays>(kind: Kind): Promise<TargetSays[Kind]> {
    while (!this.#said.has(kind))
      await Promise.race([
        new Promise((resolve) => this.child.once('message', resolve)),
        this.#ended,
      ]);
    return this.#said.get(kind) as TargetSays[Kind];
  }

  stop(): void {
    this.child.kill();
  }
}
