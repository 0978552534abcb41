import promises, { type FileHandle } from 'node:fs/promises';
import { onTestFinished } from 'vitest';

/** Has `act` called once, right before the `count`th read of any file here, until the test ends. */
export async function beforeRead(count: number, act: () => void): Promise<void> {
  const handle = await promises.open('/dev/null');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const original = prototype.read as (this: unknown, ...args: unknown[]) => Promise<unknown>;
  let reads = 0;
  const wrapped = function (this: unknown, ...args: unknown[]): Promise<unknown> {
    if (++reads === count) act();
    return original.apply(this, args);
  };
  Object.assign(prototype, { read: wrapped });
  onTestFinished(() => void Object.assign(prototype, { read: original }));
}
