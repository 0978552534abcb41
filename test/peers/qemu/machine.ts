import {
  closeSync,
  ftruncateSync,
  openSync,
  readSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { bootSector, brokenInvariant } from './guest.ts';
import { Qemu, type QemuVersion } from '../../support/qemu.ts';
import { Impossible } from './table.ts';

const MIB = 2 ** 20;

export interface MachineOptions {
  version: QemuVersion;
  /** Machine type; default pc. */
  machine?: string;
  /** MiB; default 32. */
  memory?: number;
  /** MiB of RAM up to which the guest is at work; default 24. */
  reach?: number;
  cpus?: number;
  args?: readonly string[];
  /** Byte offsets of RAM, above the guest's pages, that hold {@link MARK} when it starts. */
  marks?: readonly number[];
}

const MARK = Buffer.from('what was here before the migration');

/** A VM that runs the guest, and whose RAM is a file beside. It ends with the test. */
export class Machine {
  readonly qemu: Qemu;
  readonly ram: string;
  readonly #cpus: number;
  readonly #end: number;

  private constructor(qemu: Qemu, ram: string, cpus: number, end: number) {
    this.qemu = qemu;
    this.ram = ram;
    this.#cpus = cpus;
    this.#end = end;
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
    const end = (options.reach ?? 24) * MIB;
    const ram = join(folder, `${name}.ram`);
    const disk = join(folder, `${name}.disk`);
    writeFileSync(disk, bootSector(end));
    truncateSync(disk, MIB); // q35's firmware does not boot from a disk of one sector
    const fd = openSync(ram, 'w');
    ftruncateSync(fd, memory * MIB);
    for (const mark of marks) writeSync(fd, MARK, 0, MARK.length, mark);
    closeSync(fd);
    const qemu = await Qemu.start({
      version,
      machine: `${machine},memory-backend=ram`,
      memory,
      running,
      serial: true,
      args: [
        '-object',
        `memory-backend-file,id=ram,size=${memory}M,share=on,mem-path=${ram}`,
        '-drive',
        `if=ide,format=raw,file=${disk}`,
        '-smp',
        `${cpus}`,
        ...args,
      ],
    });
    onTestFinished(() => qemu.stop());
    return new Machine(qemu, ram, cpus, end);
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
    this.expectWhole(marks);
    await this.qemu.command('cont');
    await this.qemu.beats(1);
  }

  /** The memory of a guest that is stopped. */
  expectWhole(marks: readonly number[] = []): void {
    const fd = openSync(this.ram, 'r');
    try {
      const memory = new Uint8Array(this.#end);
      readSync(fd, memory, 0, memory.length, 0);
      expect(brokenInvariant(memory, this.#cpus)).toBe(undefined);
      for (const at of marks) {
        const found = Buffer.alloc(MARK.length);
        readSync(fd, found, 0, found.length, at);
        expect(found.equals(MARK)).toBe(true);
      }
    } finally {
      closeSync(fd);
    }
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
