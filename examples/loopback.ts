/**
 * A whole migration between two processes of this machine, over loopback TCP with four channels:
 * the running Node binary goes out as one RAM block, comes in as a mapped-ram image, and is taken
 * out of the image again. `npm start` runs it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('./multifd.js', import.meta.url));
const SOURCE = process.execPath;
const CHANNELS = ['--channels', '4', '--verbose'];

/** Starts `multifd` commands, and leaves none behind. */
class Commands {
  readonly #running = new Map<ChildProcess, Promise<void>>();

  /** @param stdout where its stdout goes: to ours, or to the pipe of the child. */
  start(
    args: readonly string[],
    stdout: 'inherit' | 'pipe' = 'inherit',
  ): { child: ChildProcess; done: Promise<void> } {
    console.log(`$ multifd ${args.join(' ')}`);
    const child = spawn(process.execPath, [COMMAND, ...args], {
      stdio: ['ignore', stdout, 'inherit'],
    });
    const done = ended(child, args[0]!);
    done.catch(() => {}); // its waiter is told
    this.#running.set(child, done);
    return { child, done };
  }

  run(...args: string[]): Promise<void> {
    return this.start(args).done;
  }

  async stop(): Promise<void> {
    for (const child of this.#running.keys()) child.kill();
    await Promise.allSettled(this.#running.values());
  }
}

async function ended(child: ChildProcess, name: string): Promise<void> {
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (status !== 0) throw new Error(`multifd ${name} ended with ${signal ?? `status ${status}`}`);
}

/** The receiver's first line says where it listens. */
async function listeningUri({
  child,
  done,
}: {
  child: ChildProcess;
  done: Promise<void>;
}): Promise<string> {
  const firstLine = once(createInterface({ input: child.stdout! }), 'line');
  const [line] = (await Promise.race([
    firstLine,
    done.then(() => Promise.reject(new Error('multifd receive ended at once'))),
  ])) as [string];
  return (JSON.parse(line) as { uri: string }).uri;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** @returns whether the bytes that came back are the ones that left. */
async function migrate(folder: string, commands: Commands): Promise<boolean> {
  const image = join(folder, 'image');
  const copy = join(folder, 'copy');

  const receiver = commands.start(
    ['receive', 'tcp:127.0.0.1:0', image, ...CHANNELS, '--json'],
    'pipe',
  );
  const uri = await listeningUri(receiver);
  await Promise.all([receiver.done, commands.run('send', SOURCE, uri, ...CHANNELS)]);

  await commands.run('inspect', image);
  await commands.run('extract', image, basename(SOURCE), copy);

  const [sent, received] = await Promise.all([sha256(SOURCE), sha256(copy)]);
  console.log(`\nSHA-256 of what was sent:     ${sent}\nSHA-256 of what was received: ${received}`);
  return sent === received;
}

const folder = await mkdtemp(join(tmpdir(), 'multifd-loopback-'));
const commands = new Commands();
// The commands end, what waits for them fails, and the folder is removed.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void commands.stop());
try {
  const same = await migrate(folder, commands);
  console.log(same ? 'The two are the same.' : 'The two differ!');
  process.exitCode = same ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  await commands.stop();
  await rm(folder, { recursive: true, force: true });
}
