import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

const TIMEOUT_MS = 120_000;

/** Forked processes that are gone when the work with them is done, whatever comes of it. */
export async function withChildren<Result>(
  work: (start: (program: URL, order: object, node?: string) => ChildProcess) => Promise<Result>,
): Promise<Result> {
  const children: ChildProcess[] = [];
  try {
    return await work((program, order, node = process.execPath) => {
      const child = fork(program, { serialization: 'advanced', execPath: node });
      children.push(child);
      child.send(order);
      return child;
    });
  } finally {
    for (const child of children) child.kill();
  }
}

/** The next word of a forked process. @throws when it ends before, or is silent for too long. */
export async function said<Word>(child: ChildProcess): Promise<Word> {
  const over = new AbortController();
  const { signal } = over;
  const ended = once(child, 'exit', { signal }).then(([status, by]) =>
    Promise.reject(new Error(`a process ended with ${by ?? `status ${status}`}`)),
  );
  const late = new Promise<never>((_, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no word from a process for ${TIMEOUT_MS / 1000} s`)),
      TIMEOUT_MS,
    );
    signal.addEventListener('abort', () => clearTimeout(timer));
  });
  const message = once(child, 'message', { signal });
  for (const promise of [ended, late, message]) promise.catch(() => {});
  try {
    const [word] = (await Promise.race([message, ended, late])) as [Word];
    return word;
  } finally {
    over.abort();
  }
}
