import { createHash, randomBytes } from 'node:crypto';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from './io.ts';
import { isOver, OWNER, ownerOfThis } from './owner.ts';

/**
 * What is not complete yet has a hidden name in the folder of its output:
 *
 *     .multifd-TAG-ORDINAL-OWNER-RANDOM.SUFFIX
 *
 * TAG says of which output it is: a hash of its name, which itself can be as long as a name may be.
 * ORDINAL is higher than that of all there are for the output when the name is made, so that the
 * later of two is known without a clock. OWNER is the process, as `owner.ts` has it. Everything
 * fits into 143 bytes, the least that a Linux file system allows for a name.
 */
const HIDDEN = new RegExp(
  `^(\\.multifd-([0-9a-f]{16})-(\\d{1,15})-(${OWNER.source})-[0-9a-f]{8})(\\.[a-z]+)$`,
);

/** The suffix of what was not made here, or has no other place any more: nothing removes that. */
export const KEPT = '.kept';

/** Hidden names that this process is still at work with. */
const atWork = new Set<string>();

/** A name that is made for an output, with what suffixes the output needs. */
export class HiddenName {
  /** From 1 on. */
  readonly ordinal: number;
  readonly #folder: string;
  readonly #stem: string;

  private constructor(folder: string, stem: string, ordinal: number) {
    this.#folder = folder;
    this.#stem = stem;
    this.ordinal = ordinal;
  }

  /** Throws what `readdir` does. */
  static async beside(path: string): Promise<HiddenName> {
    const ordinal = Math.max(0, ...(await hiddenBeside(path)).map((found) => found.ordinal)) + 1;
    const random = randomBytes(4).toString('hex');
    const stem = `.multifd-${tagOf(path)}-${ordinal}-${await ownerOfThis()}-${random}`;
    atWork.add(stem);
    return new HiddenName(dirname(path), stem, ordinal);
  }

  with(suffix: string): string {
    return join(this.#folder, this.#stem + suffix);
  }

  /** This process is over with it: what there is of it still is left over. */
  release(): void {
    atWork.delete(this.#stem);
  }
}

/** Something hidden that belongs to an output. */
export interface Hidden {
  readonly path: string;
  /** Without the suffix, which tells apart what belongs together. */
  readonly stem: string;
  readonly suffix: string;
  readonly ordinal: number;
  readonly owner: string;
}

/** All that is hidden for the output of that name. Throws what `readdir` does. */
export async function hiddenBeside(path: string): Promise<Hidden[]> {
  const [folder, tag] = [dirname(path), tagOf(path)];
  return (await readdir(folder)).flatMap((name) => {
    const [, stem, of, ordinal, owner, suffix] = HIDDEN.exec(name) ?? [];
    if (of !== tag) return [];
    return [
      {
        path: join(folder, name),
        stem: stem!,
        suffix: suffix!,
        ordinal: Number(ordinal),
        owner: owner!,
      },
    ];
  });
}

/**
 * What is hidden for an output and no process can be at work with any more: of this user's, and its
 * process is provably gone, or is this one and was over with it. What can't be found out counts as
 * at work. Never throws.
 */
export async function leftOver(path: string): Promise<Hidden[]> {
  const left: Hidden[] = [];
  for (const hidden of await hiddenBeside(path).catch(() => [])) {
    if (hidden.suffix === KEPT || atWork.has(hidden.stem)) continue;
    if (!(await isOver(hidden.owner, dirname(path)))) continue;
    const found = await lstat(hidden.path).catch(() => undefined);
    if (found !== undefined && found.uid === (process.geteuid?.() ?? found.uid)) left.push(hidden);
  }
  return left;
}

/**
 * Removes files that are left over; folders stay. What is to be seen in the folder is put on the
 * disk first, so that nothing goes that the disk needs still; if that can't be done, all stays.
 * Never throws.
 */
export async function removeLeftOver(
  path: string,
  which: (hidden: Hidden) => boolean,
): Promise<void> {
  const gone = (await leftOver(path)).filter(which);
  if (
    gone.length === 0 ||
    !(await syncFolder(dirname(path)).then(
      () => true,
      () => false,
    ))
  )
    return;
  // A folder is refused.
  for (const hidden of gone) await rm(hidden.path, { force: true }).catch(() => undefined);
}

function tagOf(path: string): string {
  return createHash('sha256').update(basename(path)).digest('hex').slice(0, 16);
}
