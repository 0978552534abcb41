import { GUEST_START, PAGE } from './memory.ts';

const SECTOR = 512;
/** Where a PC's firmware loads a boot sector. */
const LOADED_AT = 0x7c00;
/** Where other CPUs begin: a page below 1 MiB, as the message that starts them names it. */
const SECOND_START = 0x8000;

/**
 * The guest of a PC: a boot sector, to be given to QEMU as a raw disk. Its other CPUs are woken by
 * the first.
 */
export function bootSector(end: number): Buffer {
  const code = new Assembler();
  // 16 bits. Each CPU comes through here, the others from the copy at SECOND_START: so all
  // addresses are absolute.
  enterProtectedMode(code);
  // ebx = this CPU's APIC id: the byte of a page that is its own
  code.put(0x8b, 0x1d).u32(0xfee00020).put(0xc1, 0xeb, 24);
  code.put(0x66, 0xba, 0xf8, 0x03); //                dx = 0x3f8, the first serial port
  // the others go to work; CPU 0 has to wake them first
  code.put(0x85, 0xdb, 0x75).relative8('passes');

  code.put(0xfc, 0xbe).u32(LOADED_AT); //             cld; esi = LOADED_AT
  code.put(0xbf).u32(SECOND_START); //                edi = SECOND_START
  code.put(0xb9).u32(SECTOR).put(0xf3, 0xa4); //      rep movsb
  code.put(0xb0, 0x41, 0xee); //                      'A'
  for (const message of [0x000c4500, 0x000c4600 | (SECOND_START / PAGE)]) {
    // to all CPUs but this: INIT, then start up at that page
    code.put(0xc7, 0x05).u32(0xfee00300).u32(message);
    code.put(0xb9).u32(100_000).put(0xe2, 0xfe); //   loop $: some time for it
  }

  code.label('passes');
  code.put(0xbf).u32(GUEST_START); //                 edi = GUEST_START
  code.label('pages');
  code.put(0xfe, 0x04, 0x1f); //                      inc byte [edi + ebx]
  code.put(0x81, 0xc7).u32(PAGE); //                  edi += PAGE
  code.put(0x81, 0xff).u32(end); //                   cmp edi, end
  code.put(0x72).relative8('pages'); //               jb pages
  code.put(0x85, 0xdb, 0x75).relative8('passes');
  code.put(0xb0, 0x42, 0xee); //                      'B'
  code.put(0xeb).relative8('passes');

  segments(code);
  return code.sector();
}

/** From a firmware's 16 bits to 32. The code needs `segments` too, where nothing runs into them. */
export function enterProtectedMode(code: Assembler): void {
  code.put(0xfa); //                                  cli
  code.put(0x31, 0xc0, 0x8e, 0xd8); //                xor ax, ax; mov ds, ax
  code.put(0xe4, 0x92, 0x0c, 0x02, 0xe6, 0x92); //    A20 on, by port 0x92
  code.put(0x0f, 0x01, 0x16).address16('gdtr'); //    lgdt [gdtr]
  code.put(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0); // cr0 |= 1: protected mode
  code.put(0xea).address16('protected').put(0x08, 0x00); // jmp 8:protected
  code.label('protected'); // 32 bits from here on
  code.put(0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0); // ds = es = ss = 0x10
}

/** The segments of `enterProtectedMode`. */
export function segments(code: Assembler): void {
  code.label('gdt'); // none, code and data: flat, 4 GiB each
  code.u32(0).u32(0).u32(0x0000ffff).u32(0x00cf9a00).u32(0x0000ffff).u32(0x00cf9200);
  code.label('gdtr');
  code.put(0x17, 0x00).address32('gdt');
}

/** Bytes with labels; little-endian. */
export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixes: Array<() => void> = [];

  put(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  u32(value: number): this {
    return this.put(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
  }

  label(name: string): void {
    this.#labels.set(name, this.#bytes.length);
  }

  address16(label: string): this {
    return this.#address(label, 2);
  }

  address32(label: string): this {
    return this.#address(label, 4);
  }

  relative8(label: string): this {
    const at = this.#bytes.length;
    this.#fixes.push(() => {
      this.#bytes[at] = (this.#labels.get(label)! - (at + 1)) & 255;
    });
    return this.put(0);
  }

  relative32(label: string): this {
    const at = this.#bytes.length;
    this.#fixes.push(() => {
      const distance = this.#labels.get(label)! - (at + 4);
      for (let i = 0; i < 4; i++) this.#bytes[at + i] = (distance >> (8 * i)) & 255;
    });
    return this.put(0, 0, 0, 0);
  }

  /** The 512 bytes that a firmware takes for a boot sector. */
  sector(): Buffer {
    for (const fix of this.#fixes) fix();
    const sector = Buffer.alloc(SECTOR);
    if (this.#bytes.length > SECTOR - 2) throw new Error('the guest does not fit its sector');
    sector.set(this.#bytes);
    sector.writeUInt16LE(0xaa55, SECTOR - 2);
    return sector;
  }

  #address(label: string, size: number): this {
    const at = this.#bytes.length;
    this.#fixes.push(() => {
      const address = LOADED_AT + this.#labels.get(label)!;
      for (let i = 0; i < size; i++) this.#bytes[at + i] = (address >>> (8 * i)) & 255;
    });
    return this.put(...new Array<number>(size).fill(0));
  }
}
