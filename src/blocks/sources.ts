import { DESCRIPTORS_CROSS_THREADS, openFile, readAt } from '#files';
import { canPost, isSharedBuffer } from '../util/bytes.ts';
import { bytesOfView, givenMethods, givenPath, integer, refuse } from '../util/checks.ts';
import type { BlockSourceSpec } from './page-sources.ts';

/** A user's own pages: read once per round, in any order, in pieces of whole pages. */
export interface PageSource {
  /** Bytes; read behind it gives zeros. */
  readonly byteLength: number;
  /** Fills `into` with what is at byte `offset`. */
  read(offset: number, into: Uint8Array): void | Promise<void>;
}

/**
 * A memory to send. Shared memory goes out from where it is; other memory is copied into the slots
 * by this thread. A view of any type is one of bytes. `{ path }` is a file, `{ byteLength, read }`
 * pages of your own.
 */
export type BlockSource =
  | WebAssembly.Memory
  | SharedArrayBuffer
  | ArrayBuffer
  | ArrayBufferView
  | { readonly path: string }
  | PageSource;

/** A RAM block to send. */
export interface OutgoingBlock {
  /** The RAM block's name: 1 to 255 bytes of UTF-8. */
  id: string;
  /** What is in it. What is missing to a whole page goes out as zeros. */
  source: BlockSource;
}

/** A block that is ready to be sent. */
export interface OpenBlock {
  readonly id: string;
  /** Bytes of content; what is missing to a whole page is zero. */
  readonly byteLength: number;
  readonly descriptor: BlockSourceSpec;
  /** Which pages there are, one bit each; without it, all. */
  readonly bitmap?: Uint8Array;
  /** Which pages there are, one bit each, as far as the source tells; without it, all may be. */
  readonly present?: Uint8Array;
  /**
   * As `read`, of pages that are present, and several at a time; without it, reads follow each
   * other.
   */
  readAnywhere?(offset: number, into: Uint8Array): Promise<void>;
  /** Fills `into` with what is at byte `offset`, zeros behind the end. */
  read(offset: number, into: Uint8Array): void | Promise<void>;
  /** Of a file: throws MultifdError ERR_IO if it has changed since it was opened. */
  verify?(): Promise<void>;
  close(): void | Promise<void>;
}

const SOURCES =
  'a WebAssembly.Memory, a SharedArrayBuffer, an ArrayBuffer, a view of either, { path }, or ' +
  '{ byteLength, read }';

/** @throws MultifdError ERR_OPTION for what is no source; ERR_IO for a file that can't be read. */
export async function openBlock(
  { id, source }: OutgoingBlock,
  pageSize: number,
): Promise<OpenBlock> {
  if (source instanceof WebAssembly.Memory)
    return memoryBlock(id, pageSize, () => new Uint8Array(source.buffer), source);
  if (ArrayBuffer.isView(source)) return memoryBlock(id, pageSize, () => bytesOfView(source));
  if (isSharedBuffer(source) || source instanceof ArrayBuffer)
    return memoryBlock(id, pageSize, () => new Uint8Array(source));
  const what = `the source of block ${JSON.stringify(id)}`;
  if (typeof source !== 'object' || source === null) refuse(what, source, SOURCES);
  if ('path' in source) return fileBlock(id, givenPath(`${what}, path`, source.path));
  givenMethods(what, source, ['read'], SOURCES);
  const byteLength = integer(`${what}, byteLength`, source.byteLength, 0, Number.MAX_SAFE_INTEGER);
  return {
    id,
    byteLength,
    descriptor: { kind: 'staged' },
    async read(offset, into) {
      const inside = Math.max(0, Math.min(into.length, byteLength - offset));
      if (inside > 0) await source.read(offset, into.subarray(0, inside));
      into.fill(0, inside);
    },
    close() {},
  };
}

function memoryBlock(
  id: string,
  pageSize: number,
  view: () => Uint8Array,
  memory?: WebAssembly.Memory,
): OpenBlock {
  const { buffer, byteOffset, byteLength } = view();
  // A length that is no page multiple has to be padded, so its last page can't go out from where it
  // is. A memory can be posted even where its buffer can't.
  const shared =
    (memory !== undefined ? isSharedBuffer(buffer) : canPost(buffer)) &&
    byteLength % pageSize === 0;
  return {
    id,
    byteLength,
    descriptor: shared
      ? { kind: 'memory', shared: memory ?? (buffer as SharedArrayBuffer), byteOffset, byteLength }
      : { kind: 'staged' },
    read(offset, into) {
      // A fresh view each time: growing a WebAssembly memory detaches the former one.
      const bytes = view().subarray(offset, Math.min(byteLength, offset + into.length));
      into.set(bytes);
      into.fill(0, bytes.length);
    },
    close() {},
  };
}

async function fileBlock(id: string, path: string): Promise<OpenBlock> {
  const file = await openFile(path);
  const { fd, name, size } = file;
  return {
    id,
    byteLength: size,
    descriptor: fileDescriptor({ fd, name, position: 0, length: size, sparse: false }),
    read(offset, into) {
      const inside = Math.max(0, Math.min(into.length, size - offset));
      readAt(file, into.subarray(0, inside), offset);
      into.fill(0, inside);
    },
    verify: () => file.verify(),
    close: () => file.close(),
  };
}

export function fileDescriptor(
  file: Omit<BlockSourceSpec & { kind: 'file' }, 'kind'>,
): BlockSourceSpec {
  return DESCRIPTORS_CROSS_THREADS ? { kind: 'file', ...file } : { kind: 'staged' };
}
