/** What a source and a target are to do, each in a process of its own. */
export interface MoveOrder {
  by: 'multifd' | 'stream' | 'gzip';
  /** What the RAM holds. */
  ramFile: string;
  bytes: number;
  channels: number;
  compression: 'none' | 'zlib' | 'zstd';
}

/** The source's words: its memory is full; all has arrived, after so many seconds. */
export type SourceWord = { kind: 'ready' } | { kind: 'moved'; seconds: number };
/** The target's: it waits; whether what came is what left. */
export type TargetWord = { kind: 'listening'; uri: string } | { kind: 'compared'; same: boolean };

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;
const WASM_PAGE = 65536;

/** A process's RAM, every page of it touched. */
export function allocate({ by, bytes }: Pick<MoveOrder, 'by' | 'bytes'>): {
  memory: WebAssembly.Memory | undefined;
  ram: Uint8Array;
} {
  // Plain Node has no use for shared memory.
  const memory =
    by === 'multifd'
      ? new WebAssembly.Memory({
          initial: bytes / WASM_PAGE,
          maximum: bytes / WASM_PAGE,
          shared: true,
        })
      : undefined;
  const ram = new Uint8Array(memory?.buffer ?? new ArrayBuffer(bytes));
  for (let at = 0; at < bytes; at += MIB) ram.fill(0, at, at + MIB);
  return { memory, ram };
}
