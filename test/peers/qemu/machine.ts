import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { brokenInvariant, GUEST_START, guestArguments } from './guests/index.ts';
import { type Architecture, Qemu, type QemuVersion } from '../../support/qemu.ts';
import { Impossible } from './table.ts';

const MIB = 2 ** 20;

export interface MachineOptions {
  version: QemuVersion;
  /** One with a guest: x86_64 (default), aarch64, riscv64. */
  architecture?: Architecture;
  /** Machine type; default pc. */
  machine?: string;
  /** MiB; default 32. */
  memory?: number;
  /** MiB of RAM up to which the guest is at work; default 24. */
  reach?: number;
  cpus?: number;
  args?: readonly string[];
  /** Open files, as `Qemu.start` takes them. */
  files?: readonly number[];
  /** Byte offsets of RAM, above the guest's pages, that hold {@link MARK} when it starts. */
  marks?: readonly number[];
  /** Its RAM is no file: with GiB of it, a twentieth of the time. */
  anonymous?: boolean;
}

const MARK = Buffer.from('what was here before the migration');

/** Where a PC with more RAM than that has the rest of it: at 4 GiB. */
const BELOW_4_GIB = 3 * 2 ** 30;
const physical = (offset: number): number => offset + (offset < BELOW_4_GIB ? 0 : 2 ** 30);

/** A VM that runs the guest, and whose RAM is a file beside. It ends with the test. */
export class Machine {
  readonly qemu: Qemu;
  /** The file that is its RAM, or will be what {@link expectWhole} asks for of it. */
  readonly ram: string;
  readonly #cpus: number;
  readonly #end: number;
  readonly #anonymous: boolean;

  private constructor(
    qemu: Qemu,
    ram: string,
    { cpus, end, anonymous }: { cpus: number; end: number; anonymous: boolean },
  ) {
    this.qemu = qemu;
    this.ram = ram;
    this.#cpus = cpus;
    this.#end = end;
    this.#anonymous = anonymous;
  }

  /** One whose guest is at work. */
  static async running(folder: string, name: string, options: MachineOptions): Promise<Machine> {
    const machine = await Machine.#start(
      folder,
      name,
      { ...options, args: options.args ?? [] },
      true,
    );
    await machine.qemu.beats(1);
    return machine;
  }

  /** One that waits for a migration. */
  static incoming(folder: string, name: string, options: MachineOptions): Promise<Machine> {
    return Machine.#start(
      folder,
      name,
      { ...options, marks: [], args: [...(options.args ?? []), '-incoming', 'defer'] },
      true,
    );
  }

  static async #start(
    folder: string,
    name: string,
    options: MachineOptions & { args: readonly string[] },
    running: boolean,
  ): Promise<Machine> {
    const { version, machine = 'pc', memory = 32, cpus = 1, marks = [], args } = options;
    const { architecture = 'x86_64', anonymous = false, files = [] } = options;
    const end = (options.reach ?? 24) * MIB;
    const ram = join(folder, `${name}.ram`);
    const backend = `id=ram,size=${memory}M`;
    const backing: string[] = [];
    if (anonymous) {
      const mark = join(folder, `${name}.mark`);
      writeFileSync(mark, MARK);
      backing.push('-object', `memory-backend-ram,${backend}`);
      for (const at of marks)
        backing.push('-device', `loader,file=${mark},force-raw=on,addr=${physical(at)}`);
    } else {
      const fd = openSync(ram, 'w');
      ftruncateSync(fd, memory * MIB);
      for (const at of marks) writeSync(fd, MARK, 0, MARK.length, at);
      closeSync(fd);
      backing.push('-object', `memory-backend-file,${backend},share=on,mem-path=${ram}`);
    }
    const guest = guestArguments(architecture, join(folder, `${name}.guest`), end);
    const qemu = await Qemu.start({
      version,
      architecture,
      machine: `${machine},memory-backend=ram`,
      memory,
      running,
      serial: true,
      files,
      args: [...backing, ...guest, '-smp', `${cpus}`, ...args],
    });
    onTestFinished(() => qemu.stop());
    return new Machine(qemu, ram, { cpus, end, anonymous });
  }

  /**
   * Turns capabilities on and sets parameters.
   * @throws Impossible, with QEMU's words, where it knows them not.
   */
  async set(capabilities: readonly string[], parameters: object): Promise<void> {
    try {
      await this.qemu.capabilities(...capabilities);
      await this.qemu.command('migrate-set-parameters', parameters);
    } catch (error) {
      throw new Impossible((error as Error).message);
    }
  }

  /**
   * The guest goes on, and its memory is what it could have had at one moment, with the marks in
   * place.
   */
  async expectAlive(marks: readonly number[] = []): Promise<void> {
    await this.qemu.beats(3);
    await this.qemu.command('stop');
    await this.expectWhole(marks);
    await this.qemu.command('cont');
    await this.qemu.beats(1);
  }

  /** The memory of a guest that is stopped. */
  async expectWhole(marks: readonly number[] = []): Promise<void> {
    expect(brokenInvariant(await this.#read(0, this.#end), this.#cpus)).toBe(undefined);
    for (const at of marks) expect(await this.#read(at, MARK.length)).toEqual(MARK);
  }

  /**
   * What the file `content` holds is the RAM of this guest that is stopped; of one without a file,
   * it is so up to the end of the guest's pages, and the marks are there.
   */
  async expectSame(content: string, marks: readonly number[]): Promise<void> {
    if (!this.#anonymous) {
      execFileSync('cmp', [content, this.ram]);
      return;
    }
    // Below are the firmware's and the video memory's addresses.
    const parts = [[GUEST_START, this.#end - GUEST_START], ...marks.map((at) => [at, MARK.length])];
    for (const [at, length] of parts as Array<[number, number]>)
      expect((await this.#read(at, length)).equals(readPart(content, at, length))).toBe(true);
  }

  async #read(at: number, length: number): Promise<Buffer> {
    if (this.#anonymous)
      await this.qemu.command('pmemsave', {
        val: physical(at),
        size: length,
        filename: this.ram,
      });
    return readPart(this.ram, this.#anonymous ? 0 : at, length);
  }

  /** Lets a migration go over to postcopy, once it has begun its pass `pass`. */
  async postcopyAt(pass: number): Promise<void> {
    await this.qemu.pass(pass);
    await this.qemu.command('migrate-start-postcopy');
  }

  /**
   * Lets a migration come to its end, once it has begun its pass `pass`, or has come to its end
   * before that.
   */
  async convergeAt(pass: number): Promise<void> {
    await Promise.race([this.qemu.pass(pass), this.qemu.migrationEnd()]);
    await this.qemu.command('migrate-set-parameters', {
      'downtime-limit': 60_000,
      'max-bandwidth': 1e12,
    });
  }
}

function readPart(path: string, at: number, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const part = Buffer.alloc(length);
    readSync(fd, part, 0, length, at);
    return part;
  } finally {
    closeSync(fd);
  }
}
