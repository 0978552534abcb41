/**
 * A disk that keeps only what was put on it. Of everything else a power cut takes any part:
 *
 * - of a file, what was written since it was synced: each sector by itself, and each change of its
 *   length;
 * - of a folder, what was made, named and removed in it since it was synced: each by itself. A
 *   renaming takes the old name away only when the new one is there; but for that it may also leave
 *   both.
 *
 * What is there of one sector, or of one name, is never older than what was synced, nor made up.
 * That is what POSIX promises, and less than a file system with a journal keeps: there, what was
 * done first is there first.
 */
import { createHash } from 'node:crypto';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  ftruncateSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Random } from '../../support/random.ts';
import { Content } from './content.ts';

const SECTOR = 512;

type FileChange = { position: number; bytes: Uint8Array } | { length: number; grows: boolean };

export class DiskFile {
  durable: Content;
  pending: FileChange[] = [];
  /** Bytes, as a program sees it. */
  length: number;

  constructor(content = new Content()) {
    this.durable = content;
    this.length = content.length;
  }

  write(position: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + SECTOR - ((position + at) % SECTOR));
      this.pending.push({ position: position + at, bytes: bytes.slice(at, end) });
      at = end;
    }
    const end = position + bytes.length;
    if (end > this.length) this.pending.push({ length: end, grows: true });
    this.length = Math.max(this.length, end);
  }

  truncate(length: number): void {
    this.pending.push({ length, grows: length > this.length });
    this.length = length;
  }

  sync(): void {
    this.durable = this.after(() => true);
    this.pending = [];
  }

  after(happened: () => boolean): Content {
    const content = this.durable.copy();
    for (const change of this.pending) {
      if (!happened()) continue;
      if ('bytes' in change) content.write(change.position, change.bytes);
      else if (!change.grows || change.length > content.length) content.resize(change.length);
    }
    return content;
  }
}

type Entry = DiskFile | DiskFolder;
/** One operation in a folder: what loses a name, what gets one. */
interface FolderChange {
  removed?: { name: string; entry: Entry };
  added?: { name: string; entry: Entry };
}

export class DiskFolder {
  durable: Map<string, Entry>;
  pending: FolderChange[] = [];
  /** As a program sees it. */
  names: Map<string, Entry>;

  constructor(names = new Map<string, Entry>()) {
    this.durable = names;
    this.names = new Map(names);
  }

  change(change: FolderChange): void {
    this.pending.push(change);
    apply(change, this.names);
  }

  sync(): void {
    for (const change of this.pending.splice(0)) apply(change, this.durable);
  }
}

function apply({ removed, added }: FolderChange, names: Map<string, Entry>): void {
  if (removed !== undefined && names.get(removed.name) === removed.entry)
    names.delete(removed.name);
  if (added !== undefined) names.set(added.name, added.entry);
}

/**
 * What is on the disk after a power cut: folders by name, and files, of which two names may have
 * the same.
 */
export type Remains = Map<string, Content | Remains>;

export class Disk {
  readonly #root: string;
  readonly #top: DiskFolder;

  /** What is in the folder is on the disk. */
  constructor(root: string) {
    this.#root = root;
    this.#top = this.#load(root, new Map());
  }

  #load(path: string, files: Map<number, DiskFile>): DiskFolder {
    const names = new Map<string, Entry>();
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const at = join(path, entry.name);
      const { ino } = lstatSync(at);
      if (entry.isDirectory()) names.set(entry.name, this.#load(at, files));
      else
        names.set(
          entry.name,
          files.get(ino) ?? files.set(ino, new DiskFile(Content.of(readFileSync(at)))).get(ino)!,
        );
    }
    return new DiskFolder(names);
  }

  /** What has the name now; undefined outside the disk too. */
  find(path: string): Entry | undefined {
    if (path === this.#root) return this.#top;
    const folder = path.startsWith(`${this.#root}/`) ? this.find(dirname(path)) : undefined;
    return folder instanceof DiskFolder ? folder.names.get(basename(path)) : undefined;
  }

  #change(path: string, change: (name: string) => FolderChange): void {
    const folder = this.find(dirname(path));
    if (folder instanceof DiskFolder) folder.change(change(basename(path)));
  }

  make(path: string, entry: Entry): void {
    this.#change(path, (name) => ({ added: { name, entry } }));
  }

  remove(path: string): void {
    const entry = this.find(path);
    if (entry instanceof DiskFolder)
      for (const name of [...entry.names.keys()]) this.remove(join(path, name));
    if (entry !== undefined) this.#change(path, (name) => ({ removed: { name, entry } }));
  }

  link(from: string, to: string): void {
    const entry = this.find(from);
    if (entry !== undefined) this.make(to, entry);
  }

  rename(from: string, to: string): void {
    const entry = this.find(from);
    if (dirname(from) !== dirname(to))
      throw new Error('the model knows no renaming between folders');
    if (entry !== undefined)
      this.#change(to, (name) => ({
        removed: { name: basename(from), entry },
        added: { name, entry },
      }));
  }

  /** One of the things that a power cut can leave now. */
  cut(random: Random): Remains {
    // All of it, nothing, nearly all, hardly anything: a coin for each alone would hardly ever lose
    // just one.
    const [file, folder] = [
      random.pick([0, 0.03, 0.5, 0.97, 1]),
      random.pick([0, 0.2, 0.5, 0.8, 1]),
    ];
    const contents = new Map<DiskFile, Content>();
    const remains = ({ durable, pending }: DiskFolder): Remains => {
      const names = new Map(durable);
      for (const change of pending) {
        if (!random.chance(folder)) continue;
        const both =
          change.removed !== undefined && change.added !== undefined && random.chance(0.1);
        apply(both ? { added: change.added! } : change, names);
      }
      return new Map(
        [...names].map(([name, entry]): [string, Content | Remains] => {
          if (entry instanceof DiskFolder) return [name, remains(entry)];
          const content = contents.get(entry) ?? entry.after(() => random.chance(file));
          contents.set(entry, content);
          return [name, content];
        }),
      );
    };
    return remains(this.#top);
  }
}

/** What is the same for the same remains. */
export function keyOf(remains: Remains): string {
  const hash = createHash('sha1');
  const numbers = new Map<Content, number>();
  const add = (folder: Remains): void => {
    for (const [name, entry] of [...folder].sort(([one], [other]) => (one < other ? -1 : 1))) {
      hash.update(`\0${name}\0`);
      if (entry instanceof Map) {
        hash.update('(');
        add(entry);
        hash.update(')');
        continue;
      }
      const known = numbers.get(entry);
      hash.update(`${known} ${entry.length}`);
      if (known !== undefined) continue;
      numbers.set(entry, numbers.size);
      for (const { position, bytes } of entry.pieces()) hash.update(`@${position}:`).update(bytes);
    }
  };
  add(remains);
  return hash.digest('hex');
}

/** Makes files and folders of it, in a folder that is there. */
export function materialize(remains: Remains, root: string): void {
  const made = new Map<Content, string>();
  const put = (folder: Remains, at: string): void => {
    for (const [name, entry] of folder) {
      const path = join(at, name);
      if (entry instanceof Map) {
        mkdirSync(path);
        put(entry, path);
        continue;
      }
      const known = made.get(entry);
      if (known !== undefined) {
        linkSync(known, path);
        continue;
      }
      made.set(entry, path);
      const fd = openSync(path, 'wx');
      for (const { position, bytes } of entry.pieces())
        writeSync(fd, bytes, 0, bytes.length, position);
      ftruncateSync(fd, entry.length);
      closeSync(fd);
    }
  };
  put(remains, root);
}
