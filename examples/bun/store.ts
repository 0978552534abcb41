/**
 * A store of numbers by name, all of it in one memory: a process that has the memory has the store.
 *
 *     0     u32 names that are in it
 *     64    slots of 32 bytes: f64 value | u8 length of the name, 0 if the slot is free | the name, at most 23 bytes of UTF-8
 *
 * A name's slot is found by its hash; if another has it, the next one is taken.
 */
const SLOT = 32;
const SLOTS_AT = 64;
const NAME = 9;
const LONGEST = SLOT - NAME;

export class Store {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #slots: number;

  constructor(memory: WebAssembly.Memory) {
    this.#bytes = new Uint8Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
    this.#slots = Math.floor((memory.buffer.byteLength - SLOTS_AT) / SLOT);
  }

  get size(): number {
    return this.#view.getUint32(0, true);
  }

  get(name: string): number | undefined {
    const { slot, free } = this.#find(new TextEncoder().encode(name));
    return free ? undefined : this.#view.getFloat64(slot, true);
  }

  set(name: string, value: number): void {
    const encoded = new TextEncoder().encode(name);
    const { slot, free } = this.#find(encoded);
    this.#view.setFloat64(slot, value, true);
    if (!free) return;
    this.#bytes.set(encoded, slot + NAME);
    this.#bytes[slot + NAME - 1] = encoded.length;
    this.#view.setUint32(0, this.size + 1, true);
  }

  /** The sum of all values. */
  sum(): number {
    let sum = 0;
    for (let slot = SLOTS_AT; slot < SLOTS_AT + this.#slots * SLOT; slot += SLOT) {
      if (this.#bytes[slot + NAME - 1] !== 0) sum += this.#view.getFloat64(slot, true);
    }
    return sum;
  }

  #find(name: Uint8Array): { slot: number; free: boolean } {
    if (name.length === 0 || name.length > LONGEST)
      throw new RangeError(`a name has 1 to ${LONGEST} bytes`);
    const first = name.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5) >>> 0;
    for (let tried = 0; tried < this.#slots; tried++) {
      const slot = SLOTS_AT + ((first + tried) % this.#slots) * SLOT;
      const length = this.#bytes[slot + NAME - 1]!;
      if (length === 0) return { slot, free: true };
      if (
        length === name.length &&
        name.every((byte, at) => this.#bytes[slot + NAME + at] === byte)
      )
        return { slot, free: false };
    }
    throw new RangeError('the store is full');
  }
}
