import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BINARY = 'qemu-system-x86_64';

/**
 * Whether tests against a real QEMU can run, for `describe.skipIf(!qemuAvailable())`. In CI it is always true: there a missing
 * QEMU has to fail, not to skip.
 */
export function qemuAvailable(): boolean {
  return process.env['CI'] === 'true' || spawnSync(BINARY, ['--version']).status === 0;
}

export interface QemuOptions {
  /** Machine type with its options; default `pc`. */
  machine?: string;
  /** MiB of RAM; default 64. */
  memory?: number;
  /** Further arguments. */
  args?: readonly string[];
  /** Another program than the QEMU of this machine. */
  binary?: string;
}

interface Waiter {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export type MigrationEnd = 'completed' | 'failed';

/** A running, stopped-at-reset QEMU without devices of its own, driven over QMP. Stop it in the end, whatever happens. */
export class Qemu {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #commands: Waiter[] = [];
  readonly #exited: Promise<void>;
  #socket: Socket | undefined;
  #events: string[] = [];
  #eventWaiters: Array<Waiter & { wanted: readonly string[] }> = [];
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

  static async start({ machine = 'pc', memory = 64, args = [], binary = BINARY }: QemuOptions = {}): Promise<Qemu> {
    const folder = await mkdtemp(join(tmpdir(), 'multifd-qemu-'));
    const path = join(folder, 'qmp');
    const server = createServer();
    const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const process = spawn(
      binary,
      ['-accel', 'tcg', '-machine', machine, '-m', `${memory}`, '-nodefaults', '-display', 'none', '-S', '-qmp', `unix:${path}`, ...args],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const qemu = new Qemu(process, folder);
    const socket = await Promise.race([connected, qemu.#exited]);
    server.close();
    if (socket === undefined) {
      await qemu.stop();
      throw new Error(`QEMU did not start: ${qemu.#stderr}`);
    }
    qemu.#attach(socket);
    await qemu.command('qmp_capabilities');
    return qemu;
  }

  /** What QEMU wrote to its standard error so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Runs a QMP command; gives what it returns, throws what it refuses. */
  command(execute: string, args: object = {}): Promise<unknown> {
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

  /** Waits until the migration has completed or failed. */
  async migrationEnd(): Promise<MigrationEnd> {
    const wanted: readonly string[] = ['completed', 'failed'];
    const status = await new Promise<unknown>((resolve, reject) => {
      const found = this.#events.find((event) => wanted.includes(event));
      if (found === undefined) this.#eventWaiters.push({ wanted, resolve, reject });
      else resolve(found);
    });
    return status === 'completed' ? 'completed' : 'failed';
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
    this.#socket?.destroy();
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
    else if ('event' in message && message.event === 'MIGRATION') this.#migrationStatus(message.data.status);
  }

  #migrationStatus(status: string): void {
    if (status === 'setup') this.#events = [];
    this.#events.push(status);
    const waiting = this.#eventWaiters;
    this.#eventWaiters = waiting.filter(({ wanted }) => !wanted.includes(status));
    for (const { wanted, resolve } of waiting) if (wanted.includes(status)) resolve(status);
  }

  #fail(): void {
    const error = new Error(`QEMU exited: ${this.#stderr}`);
    for (const { reject } of [...this.#commands.splice(0), ...this.#eventWaiters.splice(0)]) reject(error);
  }
}

type QmpMessage =
  | { QMP: unknown }
  | { return: unknown }
  | { error: { desc: string } }
  | { event: 'MIGRATION'; data: { status: string } }
  | { event: string; data: { status: string } };
