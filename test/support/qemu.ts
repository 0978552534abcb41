import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The peers that `.ci/run` unpacks side by side, newest first. */
export const QEMU_VERSIONS = ['11.1', '10.0', '7.2'] as const;
export type QemuVersion = (typeof QEMU_VERSIONS)[number];

/** Those of QEMU's architectures that are unpacked. */
export type Architecture =
  | 'x86_64'
  | 'aarch64'
  | 'arm'
  | 'riscv64'
  | 'ppc64'
  | 's390x'
  | 'alpha'
  | 'sparc64';

/** Where they are: each in a folder of its own, such as `qemu-7.2`. */
const ROOT = process.env['MULTIFD_QEMU_ROOT'] ?? '/opt';

/** The program of a version; without one, that of the path. */
function program(version: QemuVersion | undefined, architecture: Architecture): string {
  const name = `qemu-system-${architecture}`;
  return version === undefined ? name : join(ROOT, `qemu-${version}`, 'bin', name);
}

/** What programs say of themselves, by their paths: undefined if they do not run. */
const releases = new Map<string, string | undefined>();

/**
 * The exact release of a peer as it says it itself, such as `11.1.3`; undefined if it is not there.
 */
export function qemuRelease(
  version?: QemuVersion,
  architecture: Architecture = 'x86_64',
): string | undefined {
  const path = program(version, architecture);
  if (!releases.has(path)) {
    const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
    releases.set(path, /version (\S+)/.exec(stdout ?? '')?.[1]);
  }
  return releases.get(path);
}

/**
 * Whether tests against a real QEMU can run, for `describe.skipIf(!qemuAvailable())`. In CI it is
 * always true: there a missing QEMU has to fail, not to skip.
 */
export function qemuAvailable(version?: QemuVersion, architecture?: Architecture): boolean {
  return process.env['CI'] === 'true' || qemuRelease(version, architecture) !== undefined;
}

export interface QemuOptions {
  /** Machine type with its options; default `pc`. */
  machine?: string;
  /** MiB of RAM; default 64. */
  memory?: number;
  /** Further arguments. */
  args?: readonly string[];
  /** Default: the QEMU of the path. */
  version?: QemuVersion;
  /** Default x86_64. */
  architecture?: Architecture;
  /** Let the guest run from the start (false). */
  running?: boolean;
  /** Open files, which become its sets of file descriptors: the first is `/dev/fdset/0`. */
  files?: readonly number[];
  /** Give it a serial port, whose output {@link Qemu.beats} counts (false). */
  serial?: boolean;
}

interface Waiter {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export type MigrationEnd = 'completed' | 'failed' | 'cancelled';

const ENDS: readonly unknown[] = ['completed', 'failed', 'cancelled'] satisfies MigrationEnd[];

interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

type Wanted = (event: QmpEvent) => boolean;

/**
 * A running QEMU without devices of its own, driven over QMP. Stop it in the end, whatever happens.
 */
export class Qemu {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #commands: Waiter[] = [];
  readonly #exited: Promise<void>;
  #socket: Socket | undefined;
  #serial: Socket | undefined;
  #beats = 0;
  #beatWaiters: Array<Waiter & { count: number }> = [];
  /** Since the last migration was begun. */
  #events: QmpEvent[] = [];
  #eventWaiters: Array<Waiter & { wanted: Wanted }> = [];
  #stderr = '';

  private constructor(process: ChildProcess, folder: string) {
    this.#process = process;
    this.#folder = folder;
    process.stderr?.on('data', (data: Buffer) => (this.#stderr += data.toString()));
    this.#exited = new Promise((resolve) => {
      process.once('error', (error) => {
        this.#stderr += error.message;
        resolve();
      });
      process.once('exit', () => resolve());
    });
    void this.#exited.then(() => this.#fail());
  }

  static async start({
    machine = 'pc',
    memory = 64,
    args = [],
    version,
    architecture = 'x86_64',
    running = false,
    serial = false,
    files = [],
  }: QemuOptions = {}): Promise<Qemu> {
    const folder = await mkdtemp(join(tmpdir(), 'multifd-qemu-'));
    const qmp = await firstConnection(join(folder, 'qmp'));
    const console = serial ? await firstConnection(join(folder, 'serial')) : undefined;
    const all = [
      '-accel',
      'tcg',
      '-machine',
      machine,
      '-m',
      `${memory}`,
      '-nodefaults',
      '-display',
      'none',
      '-qmp',
      `unix:${qmp.path}`,
    ];
    if (!running) all.push('-S');
    if (console !== undefined)
      all.push('-chardev', `socket,id=serial,path=${console.path}`, '-serial', 'chardev:serial');
    const first = 3; // behind the standard ones
    files.forEach((_, set) => all.push('-add-fd', `fd=${first + set},set=${set}`));
    const child = spawn(program(version, architecture), [...all, ...args], {
      stdio: ['ignore', 'ignore', 'pipe', ...files],
    });
    const qemu = new Qemu(child, folder);
    const sockets = await Promise.race([Promise.all([qmp.socket, console?.socket]), qemu.#exited]);
    qmp.close();
    console?.close();
    if (sockets === undefined) {
      await qemu.stop();
      throw new Error(`QEMU did not start: ${qemu.#stderr}`);
    }
    qemu.#attach(sockets[0]);
    if (sockets[1] !== undefined) qemu.#listenTo(sockets[1]);
    await qemu.command('qmp_capabilities');
    return qemu;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** What QEMU wrote to its standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Runs a QMP command; gives what it returns, throws what it refuses. */
  command(execute: string, args: object = {}): Promise<unknown> {
    if (execute === 'migrate' || execute === 'migrate-incoming') this.#events = [];
    return new Promise((resolve, reject) => {
      this.#commands.push({ resolve, reject });
      this.#socket?.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
  }

  /** Turns capabilities on, and `events` with them, which {@link migrationEnd} needs. */
  async capabilities(...names: string[]): Promise<void> {
    const capabilities = [...names, 'events'].map((capability) => ({ capability, state: true }));
    await this.command('migrate-set-capabilities', { capabilities });
  }

  /** Waits until the migration that was begun last has come to its end. */
  async migrationEnd(): Promise<MigrationEnd> {
    const { data } = await this.#event(
      ({ event, data }) => event === 'MIGRATION' && ENDS.includes(data['status']),
    );
    return data['status'] as MigrationEnd;
  }

  /** Waits until the migration has got, or had, a status since it was begun. */
  async migrationStatus(status: string): Promise<void> {
    await this.#event(({ event, data }) => event === 'MIGRATION' && data['status'] === status);
  }

  /** What it was before does not count any more. */
  forgetEvents(): void {
    this.#events = [];
  }

  /** Waits until the migration has begun its pass `number` over the memory; the first is 1. */
  async pass(number: number): Promise<void> {
    await this.#event(
      ({ event, data }) => event === 'MIGRATION_PASS' && Number(data['pass']) >= number,
    );
  }

  /**
   * Waits until the guest has come `count` passes further, by what it writes to the serial port.
   */
  async beats(count: number): Promise<void> {
    const until = this.#beats + count;
    await new Promise<unknown>((resolve, reject) =>
      this.#beatWaiters.push({ count: until, resolve, reject }),
    );
  }

  /** Sends to the guest's serial port. */
  type(text: string): void {
    this.#serial?.write(text);
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
    this.#socket?.destroy();
    this.#serial?.destroy();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', () => undefined);
    let text = '';
    socket.setEncoding('utf8').on('data', (data: string) => {
      const lines = (text + data).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) this.#receive(JSON.parse(line) as QmpMessage);
    });
  }

  #receive(message: QmpMessage): void {
    if ('return' in message) this.#commands.shift()?.resolve(message.return);
    else if ('error' in message) this.#commands.shift()?.reject(new Error(message.error.desc));
    else if ('event' in message) this.#take(message);
  }

  #event(wanted: Wanted): Promise<QmpEvent> {
    return new Promise<unknown>((resolve, reject) => {
      const found = this.#events.find(wanted);
      if (found === undefined) this.#eventWaiters.push({ wanted, resolve, reject });
      else resolve(found);
    }) as Promise<QmpEvent>;
  }

  #take(event: QmpEvent): void {
    this.#events.push(event);
    const waiting = this.#eventWaiters;
    this.#eventWaiters = waiting.filter(({ wanted }) => !wanted(event));
    for (const { wanted, resolve } of waiting) if (wanted(event)) resolve(event);
  }

  #listenTo(serial: Socket): void {
    this.#serial = serial;
    serial.on('error', () => undefined);
    serial.on('data', (data: Buffer) => {
      for (const byte of data) if (byte === BEAT) this.#beats++;
      const waiting = this.#beatWaiters;
      this.#beatWaiters = waiting.filter(({ count }) => count > this.#beats);
      for (const { count, resolve } of waiting) if (count <= this.#beats) resolve(undefined);
    });
  }

  #fail(): void {
    const error = new Error(`QEMU exited: ${this.#stderr}`);
    for (const { reject } of [
      ...this.#commands.splice(0),
      ...this.#eventWaiters.splice(0),
      ...this.#beatWaiters.splice(0),
    ])
      reject(error);
  }
}

const BEAT = 'B'.charCodeAt(0);

/** Listens at `path` for the one connection that QEMU makes. */
async function firstConnection(
  path: string,
): Promise<{ path: string; socket: Promise<Socket>; close(): void }> {
  const server = createServer();
  const socket = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { path, socket, close: () => server.close() };
}

type QmpMessage = { QMP: unknown } | { return: unknown } | { error: { desc: string } } | QmpEvent;
