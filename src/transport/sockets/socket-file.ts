import { type BigIntStats, linkSync, lstatSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { features } from '../../util/runtime.ts';

/**
 * A socket that listens has a name in the file system. Node, Deno and Bun remove that name when
 * they close it, whatever has it by then, and Node 20 cuts a long one off without a word. So a
 * socket is bound under a secret name of its own, and gets the name that was asked for by a hard
 * link: that replaces nothing, and shows a socket only once it listens.
 */

/** Bytes that `sun_path` holds, without the zero behind them: unix(7), and its like elsewhere. */
const MOST_BYTES = process.platform === 'linux' ? 107 : 103;
const RANDOM_CHARACTERS = 4;
/** Others may come and go at the name meanwhile, but not for ever. */
const MOST_TRIES = 16;
/** What a file system answers that has no hard links. */
const NO_LINKS: readonly (string | undefined)[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** Makes a socket that listens at the path it is given. */
type Bind = (path: string) => Promise<void>;

/** @throws Error for a path that no Unix socket can have. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > MOST_BYTES) throw tooLong(bytes);
}

/**
 * Gives a socket that `bind` binds the name `path`. Of what is there, a socket that nobody listens
 * on is replaced; all else stays.
 * @returns what removes the socket's name, unless another socket has that by then; never throws.
 * @throws Error when it can't.
 */
export async function listenAtPath(path: string, bind: Bind): Promise<() => void> {
  checkSocketPath(path);
  // Named pipes are no files, and go with who listens there.
  if (process.platform === 'win32') {
    await bind(path);
    return () => {};
  }
  const bound = await bindBeside(path, bind);
  try {
    const own = look(bound);
    if (own === undefined) throw new Error(`${bound} was removed`);
    await giveName(bound, path);
    return () => {
      try {
        if (isSame(look(path), own)) rmSync(path, { force: true });
      } catch {
        // What listened is over with it, however that went; a name that stays is replaced by the
        // next.
      }
    };
  } finally {
    rmSync(bound, { force: true });
  }
}

/** @returns the secret name. */
async function bindBeside(path: string, bind: Bind): Promise<string> {
  for (let tries = 1; ; tries++) {
    const beside = nameBeside(path);
    try {
      await bind(beside);
      return beside;
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE' || tries === MOST_TRIES) throw error;
    }
  }
}

/** A new name in the same folder, which looks like the one it stands for if there is room. */
function nameBeside(path: string): string {
  const random = Math.random()
    .toString(36)
    .slice(2, 2 + RANDOM_CHARACTERS);
  let like = basename(path);
  let beside: string;
  while (Buffer.byteLength((beside = join(dirname(path), `.${like}${random}`))) > MOST_BYTES) {
    if (like === '') throw tooLong(Buffer.byteLength(beside));
    like = like.slice(0, -1);
  }
  return beside;
}

function tooLong(bytes: number): Error {
  const limit = `its path has ${bytes} bytes, and that of a Unix socket at most ${MOST_BYTES}`;
  return new Error(`${limit}: give a shorter one`);
}

/** Gives a socket that listens the name `path` as well. */
async function giveName(bound: string, path: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return addName(bound, path);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || tries === MOST_TRIES) throw error;
      await removeStale(path);
    }
  }
}

function addName(bound: string, path: string): void {
  try {
    linkSync(bound, path);
  } catch (error) {
    if (!NO_LINKS.includes(codeOf(error))) throw error;
    const taken = Object.assign(new Error(`${path} is there`), { code: 'EEXIST' });
    if (look(path) !== undefined) throw taken;
    renameSync(bound, path);
  }
}

/**
 * Removes a socket that nobody listens on, such as one of a process that was killed.
 * @throws Error for anything else.
 */
async function removeStale(path: string): Promise<void> {
  const found = look(path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    const what = `there is ${kindOf(found)}, which is not replaced`;
    throw new Error(`${what}: give another path, or remove it`);
  }
  const answer = await probe(path);
  if (answer === 'ENOENT') return;
  if (answer !== 'ECONNREFUSED') throw inUse(answer);
  // Another process may have found the same, and listens there by now. What has been moved can
  // still be looked at.
  const aside = nameBeside(path);
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (!isSame(look(aside), found)) {
    addName(aside, path);
    rmSync(aside, { force: true });
    throw inUse('it has come just now');
  }
  unlinkSync(aside);
}

function inUse(why: string): Error {
  const what = `there is a socket that may be in use (${why})`;
  return new Error(`${what}: give another path, or remove it if nobody listens there`);
}

function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** File systems use a removed one's number again; what was made later has a later time. */
function isSame(a: BigIntStats | undefined, b: BigIntStats): boolean {
  return a !== undefined && a.dev === b.dev && a.ino === b.ino && a.mtimeNs === b.mtimeNs;
}

function kindOf(found: BigIntStats): string {
  if (found.isFile()) return 'a file';
  if (found.isDirectory()) return 'a folder';
  return found.isSymbolicLink() ? 'a symbolic link' : 'something that is no socket';
}

/**
 * What connecting to a socket says: only `ECONNREFUSED` means that nobody listens. A listener whose
 * queue is full says `EAGAIN`, one that may not be reached `EACCES`, a socket of another type
 * `EPROTOTYPE` (connect(2) and unix(7) of Linux; where a full queue refuses as well, such a
 * listener can't be told from none).
 */
async function probe(path: string): Promise<string> {
  const answer = await new Promise<string>((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('somebody listens');
    });
    socket.once('error', (error) => resolve(codeOf(error) ?? error.message));
  });
  if (answer !== 'ECONNREFUSED' || features().namesSocketErrors) return answer;
  // Bun's sockets say so for all of these; its fetch tells them apart.
  return fetch('http://localhost/', { unix: path } as RequestInit).then(
    () => 'somebody listens',
    (error: unknown) => codeOf(error) ?? String(error),
  );
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
