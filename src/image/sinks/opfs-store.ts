import { givenMethods, givenText } from '../../util/checks.ts';
import { MultifdError } from '../../util/errors.ts';
import { givenOptions, type OptionNames } from '../../util/options.ts';
import type { PageSink } from '../../blocks/page-targets.ts';
import type { ImagePlan } from '../mapped-ram/layout.ts';
import { openOpfsFile, type OpfsFile, type OpfsWriter } from './opfs-writer.ts';
import type { ImageStore } from './store-sink.ts';

/** A folder of the browser's own file system: a `FileSystemDirectoryHandle`. */
export interface OpfsFolder {
  getFileHandle(name: string, options?: { create?: boolean }): Promise<OpfsFile>;
  removeEntry(name: string): Promise<void>;
}

/** Options of {@link opfsImage}. */
export interface OpfsImageOptions {
  /** Replace a file that is there (false). */
  force?: boolean;
}

const NAMES = { force: true } as const satisfies OptionNames<OpfsImageOptions>;

/**
 * A place for an image in the browser's own file system (OPFS), for `receive`: a file that is
 * complete or absent. It is written under the name `.multifd-NAME.part` in the same folder, and
 * gets its own when it is whole; a page that is closed meanwhile leaves that part, which the next
 * image of the name overwrites. Until then a file that is replaced is the old one. In a dedicated
 * worker it is written at once by a `FileSystemSyncAccessHandle`, elsewhere through a stream.
 *
 * @param folder such as `await navigator.storage.getDirectory()` gives.
 * @param name of the file in it.
 * @throws MultifdError ERR_OPTION. The migration fails with ERR_EXISTS; with ERR_IO where the file
 *   can't be written, or somebody else writes it; with ERR_UNSUPPORTED where files can't be moved.
 */
export function opfsImage(
  folder: OpfsFolder,
  name: string,
  options: OpfsImageOptions = {},
): ImageStore {
  givenMethods('folder', folder, ['getFileHandle', 'removeEntry'], 'a FileSystemDirectoryHandle');
  givenText('name', name);
  const { force = false } = givenOptions('options of an image', options, NAMES);
  return new OpfsStore(folder, name, force);
}

class OpfsStore implements ImageStore {
  readonly #folder: OpfsFolder;
  readonly #name: string;
  readonly #part: string;
  readonly #force: boolean;
  #plan: ImagePlan | undefined;
  #file: OpfsFile | undefined;
  #writer: OpfsWriter | undefined;
  #bitmaps: Uint8Array<ArrayBuffer>[] = [];

  constructor(folder: OpfsFolder, name: string, force: boolean) {
    this.#folder = folder;
    this.#name = name;
    this.#part = `.multifd-${name}.part`;
    this.#force = force;
  }

  async begin(plan: ImagePlan): Promise<PageSink[]> {
    await this.#refuseToReplace();
    this.#plan = plan;
    await this.#attempt(async () => {
      const file = await this.#folder.getFileHandle(this.#part, { create: true });
      if (typeof file.move !== 'function')
        throw new MultifdError(
          'ERR_UNSUPPORTED',
          "this browser can't give a file of its own file system another name",
        );
      this.#writer = await openOpfsFile(file);
      this.#file = file;
      for (const { position, bytes } of plan.pieces) await this.#writer.write(position, bytes);
    });
    this.#bitmaps = plan.blocks.map(({ bitmapLength }) => new Uint8Array(bitmapLength));
    return plan.blocks.map(({ pagesOffset }, index) => {
      const mark = pageMarker(this.#bitmaps[index]!, plan.pageSize);
      return {
        write: (offset, pages) => {
          mark(offset, pages.length, true);
          return this.#attempt(async () => this.#writer!.write(pagesOffset + offset, pages));
        },
        zero: (offset, length) => mark(offset, length, false),
      };
    });
  }

  async commit(tail: Uint8Array): Promise<void> {
    const { blocks, tailOffset } = this.#plan!;
    await this.#attempt(async () => {
      for (const [index, { bitmapOffset }] of blocks.entries())
        await this.#writer!.write(bitmapOffset, this.#bitmaps[index]!);
      await this.#writer!.write(tailOffset, tail);
      await this.#writer!.finish(tailOffset + tail.length);
    });
    this.#writer = undefined;
    await this.#refuseToReplace();
    await this.#attempt(async () => this.#file!.move!(this.#name));
    this.#file = undefined;
  }

  async discard(): Promise<void> {
    await this.#writer?.abandon();
    // One that is not ours has somebody else who writes it.
    if (this.#file !== undefined) await this.#folder.removeEntry(this.#part);
    this.#writer = undefined;
    this.#file = undefined;
  }

  /** @throws MultifdError ERR_EXISTS. */
  async #refuseToReplace(): Promise<void> {
    if (this.#force) return;
    const isThere = await this.#attempt(() =>
      this.#folder.getFileHandle(this.#name).then(
        () => true,
        (thrown: unknown) => {
          if ((thrown as Partial<DOMException>).name === 'NotFoundError') return false;
          throw thrown;
        },
      ),
    );
    if (isThere)
      throw new MultifdError(
        'ERR_EXISTS',
        `${this.#name} is there already: give force to replace it`,
      );
  }

  /** @throws MultifdError ERR_IO for what the browser throws. */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof MultifdError) throw thrown;
      const { name, message } = thrown as Partial<DOMException>;
      const why =
        name === 'NoModificationAllowedError' ? `somebody else writes it: ${message}` : message;
      throw new MultifdError('ERR_IO', `cannot write ${this.#name}: ${why}`, { cause: thrown });
    }
  }
}

/** Sets and clears a bitmap's bits of pages, by bytes. */
function pageMarker(
  bitmap: Uint8Array,
  pageSize: number,
): (offset: number, length: number, present: boolean) => void {
  return (offset, length, present) => {
    for (let at = offset; at < offset + length; at += pageSize) {
      const page = at / pageSize;
      if (present) bitmap[page >> 3]! |= 1 << (page & 7);
      else bitmap[page >> 3]! &= ~(1 << (page & 7));
    }
  };
}
