/** What is used of a Durable Object's storage. */
export interface Storage {
  get<T>(key: string): Promise<T | undefined>;
  /** At most {@link BATCH} keys. */
  get<T>(keys: string[]): Promise<Map<string, T>>;
  /** At most {@link BATCH} keys. */
  put(entries: Record<string, unknown>): Promise<void>;
  /** At most {@link BATCH} keys. */
  delete(keys: string[]): Promise<number>;
  list(options: { prefix: string; limit: number }): Promise<Map<string, unknown>>;
}

/** The most keys that a Durable Object takes in one call. */
export const BATCH = 128;

/** Deletes all keys that begin with `prefix`, a batch at a time. */
export async function deleteAll(storage: Storage, prefix: string): Promise<void> {
  for (;;) {
    const keys = [...(await storage.list({ prefix, limit: BATCH })).keys()];
    if (keys.length === 0) return;
    await storage.delete(keys);
  }
}
