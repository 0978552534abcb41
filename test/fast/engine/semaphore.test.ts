import { describe, expect, it } from 'vitest';
import { Mutex, Semaphore } from '../../../src/engine/semaphore.ts';

/**
 * The races that threads can't be made to run into: the other thread's part is played where the
 * waiter asks whether it may go on.
 */
function endingAt(call: number, end: () => void): () => boolean {
  let calls = 0;
  return () => {
    const going = ++calls <= call;
    if (calls === call) end(); // right after the answer, and before the waiter acts on it
    return going;
  };
}

const words = (): Int32Array<SharedArrayBuffer> => new Int32Array(new SharedArrayBuffer(4));

const WAITS: Record<
  string,
  (semaphore: Semaphore, alive: () => boolean) => boolean | Promise<boolean>
> = {
  tryWait: (semaphore, alive) => semaphore.tryWait(alive),
  wait: (semaphore, alive) => semaphore.wait(alive),
  waitFor: (semaphore, alive) => semaphore.waitFor(alive, 10),
  waitAsync: (semaphore, alive) => semaphore.waitAsync(alive),
};

describe.each(Object.keys(WAITS))('%s()', (name) => {
  const wait = WAITS[name]!;

  it('takes no count of releaseAll() for a real one, when the end comes just before it looks', async () => {
    const semaphore = new Semaphore(words(), 0);
    expect(
      await wait(
        semaphore,
        endingAt(1, () => semaphore.releaseAll()),
      ),
    ).toBe(false);
  });

  it('takes as many as were posted', async () => {
    const semaphore = new Semaphore(words(), 0);
    semaphore.post();
    semaphore.post();
    expect([await wait(semaphore, () => true), await wait(semaphore, () => true)]).toEqual([
      true,
      true,
    ]);
    expect(semaphore.tryWait(() => true)).toBe(false);
  });
});

describe('a mutex', () => {
  it('is held by one, and handed on to each who waits', async () => {
    const mutex = new Mutex(words(), 0);
    let inside = 0;
    const turns = Array.from({ length: 5 }, async () => {
      expect(await mutex.lockAsync(() => true)).toBe(true);
      expect(++inside).toBe(1);
      await Promise.resolve();
      inside--;
      mutex.unlock();
    });
    await Promise.all(turns);
  });

  it(
    'lets no waiter sleep who was about to when all were woken, though its holder never unlocks ' +
      'it',
    async () => {
      for (const call of [1, 2, 3]) {
        const mutex = new Mutex(words(), 0);
        expect(mutex.lock(() => true)).toBe(true);
        expect(await mutex.lockAsync(endingAt(call, () => mutex.wakeAll()))).toBe(false);
      }
    },
  );

  it('can still be taken once its waiters have been woken', async () => {
    const mutex = new Mutex(words(), 0);
    mutex.wakeAll();
    expect(mutex.lock(() => true)).toBe(true);
    const second = mutex.lockAsync(() => true);
    mutex.unlock();
    expect(await second).toBe(true);
  });
});
