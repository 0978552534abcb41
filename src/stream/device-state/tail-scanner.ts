import { GrowingBytes } from '../../util/bytes.ts';
import { Section } from '../constants.ts';
import {
  DescriptionScan,
  MAX_DESCRIPTION_LENGTH,
  MAX_DEVICE_LENGTH,
  parseDevice,
} from '../description.ts';
import { beginsWithSection, isSection, type Json, Mismatch } from './tail-walk.ts';

const OPENING_BRACE = 0x7b;
const SPACE = 0x20;
/**
 * The longest header of a FULL section: type, section id, a name of 255 bytes with its length,
 * instance, version.
 */
const HEAD_LENGTH = 1 + 4 + 256 + 4 + 4;
/** What precedes a description's text: 00, 06, be32 length. */
const START_LENGTH = 6;

/** A VMDESCRIPTION whose text is being read. */
interface Candidate {
  /** Position of the text's first byte in the tail. */
  readonly offset: number;
  readonly length: number;
  taken: number;
  readonly scan: DescriptionScan;
  /** The texts of the first devices, as many as are looked at. */
  readonly devices: GrowingBytes[];
}

/** Where a tail has the description of its device sections. Bytes. */
export interface VmDescription {
  /** Position of the text's first byte in the tail. */
  readonly offset: number;
  readonly length: number;
}

/**
 * Finds the end of what follows the RAM in a main stream. Device sections have no length, and a
 * source that waits for the return path keeps the connection open, so the end is recognised by the
 * stream's last record:
 *
 *     00 | 06 | be32 length | length bytes of JSON, an object with an array "devices"
 *
 * The first device must be the one that the tail begins with, so that device state which contains
 * another stream's end is not taken for this one's. FULL sections that came before the end of "ram"
 * are described first, and have to be what is described to the last byte. A tail whose first byte
 * is 00 has no device sections and ends there.
 *
 * JSON text has no control character but tab, line feed and carriage return. So another record's 00
 * ends a text that is being read, each byte belongs to the text of at most one candidate, and the
 * work is linear however many false starts the bytes contain. Of all that only a device's text is
 * kept.
 */
export class TailScanner {
  /** Whole FULL sections, which the description describes before those of the tail. */
  readonly #early: readonly Uint8Array[];
  readonly #anywhere: boolean;
  #length = 0;
  /** The tail's first bytes. */
  readonly #head = new GrowingBytes();
  /** The last bytes so far, which a description can begin with. */
  readonly #before = new Uint8Array(START_LENGTH).fill(0xff);
  #candidate: Candidate | undefined;
  #complete = false;
  #contradicted = false;
  #description: VmDescription | undefined;

  /**
   * @param early FULL sections that came before the end of "ram", each with header and footer.
   * @param anywhere the tail begins somewhere in the bytes: any description is its end.
   */
  constructor(early: readonly Uint8Array[] = [], anywhere = false) {
    this.#early = early;
    this.#anywhere = anywhere;
  }

  /**
   * The tail's description has been seen, and the FULL sections that came before the end of "ram"
   * are not what it says.
   */
  get contradicted(): boolean {
    return this.#contradicted;
  }

  /** The tail's end has been seen. */
  get complete(): boolean {
    return this.#complete;
  }

  /** The description, once the tail is complete and has one. */
  get description(): VmDescription | undefined {
    return this.#description;
  }

  /**
   * Whether the bytes so far can be a whole tail without a description: they end with a footer, 7e
   * and a be32, and an EOF mark.
   */
  get endsWithMark(): boolean {
    return this.#before[0] === Section.FOOTER && this.#before[START_LENGTH - 1] === Section.EOF;
  }

  /** Takes the next bytes of the tail; gives how many of them belong to it. */
  feed(chunk: Uint8Array): number {
    if (this.#complete || chunk.length === 0) return 0;
    const isFirst = this.#length === 0 && !this.#anywhere;
    if (isFirst && chunk[0] === Section.EOF) return this.#finish(1);
    this.#keepHead(chunk);
    let at = 0;
    while (at < chunk.length) {
      at =
        this.#candidate === undefined
          ? this.#search(chunk, at)
          : this.#collect(chunk, at, this.#candidate);
      if (this.#complete) return this.#finish(at);
    }
    this.#length += chunk.length;
    const last = chunk.subarray(-START_LENGTH);
    this.#before.copyWithin(0, last.length);
    this.#before.set(last, START_LENGTH - last.length);
    return chunk.length;
  }

  #keepHead(chunk: Uint8Array): void {
    const missing = HEAD_LENGTH - this.#head.length;
    if (missing > 0) this.#head.append(chunk.subarray(0, missing));
  }

  /** Searches the beginning of a description; gives where the next byte is to be taken. */
  #search(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      if (chunk[at] === OPENING_BRACE && this.#startsText(chunk, at)) return at + 1;
    }
    return chunk.length;
  }

  /** Whether a record's beginning ends with the brace at `at`; its text becomes the candidate. */
  #startsText(chunk: Uint8Array, at: number): boolean {
    // By far most braces are none such.
    if (at >= START_LENGTH && chunk[at - START_LENGTH] !== Section.EOF) return false;
    const byte = (back: number): number =>
      back <= at ? chunk[at - back]! : this.#before[START_LENGTH + at - back]!;
    if (byte(6) !== Section.EOF || byte(5) !== Section.VMDESCRIPTION) return false;
    const length = ((byte(4) << 24) | (byte(3) << 16) | (byte(2) << 8) | byte(1)) >>> 0;
    if (length > MAX_DESCRIPTION_LENGTH || length < 2) return false;
    const scan = new DescriptionScan();
    scan.take(OPENING_BRACE);
    const offset = this.#length + at;
    this.#candidate = { offset, length, taken: 1, scan, devices: [] };
    return true;
  }

  /** Takes the candidate's text until it is whole, cannot be a description, or the chunk ends. */
  #collect(chunk: Uint8Array, from: number, candidate: Candidate): number {
    const { scan, length } = candidate;
    const end = Math.min(chunk.length, from + length - candidate.taken);
    let begun = from;
    for (let at = from; at < end; at++) {
      const byte = chunk[at]!;
      if (byte === OPENING_BRACE && this.#startsText(chunk, at)) return at + 1;
      const { inDevice } = scan;
      scan.take(byte);
      const isControl = byte < SPACE && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d;
      if (scan.wrong || isControl) {
        this.#candidate = undefined;
        return at + 1;
      }
      if (scan.inDevice === inDevice) continue;
      if (!inDevice) begun = at;
      else this.#keep(candidate, scan.devices - 1, chunk, begun, at + 1);
    }
    if (scan.inDevice) this.#keep(candidate, scan.devices, chunk, begun, end);
    candidate.taken += end - from;
    const most = MAX_DEVICE_LENGTH;
    if (candidate.devices.some((text) => text.length > most)) this.#candidate = undefined;
    else if (candidate.taken === length) this.#judge(candidate);
    return end;
  }

  /** Keeps a device's text, or a part of it, if the device is one that is looked at. */
  #keep({ devices }: Candidate, index: number, text: Uint8Array, from: number, to: number): void {
    if (index > this.#early.length) return;
    devices[index] ??= new GrowingBytes();
    devices[index].append(text.subarray(from, to));
  }

  #judge({ offset, length, scan, devices }: Candidate): void {
    this.#candidate = undefined;
    const early = this.#early.length;
    const begins = (device: Json): boolean =>
      this.#anywhere || beginsWithSection(this.#head.bytes, device);
    if (!scan.complete || !fits(devices[early], begins)) return;
    this.#contradicted = this.#early.some(
      (section, index) => !fits(devices[index], (device) => isSection(section, device)),
    );
    this.#description = { offset, length };
    this.#complete = true;
  }

  #finish(taken: number): number {
    this.#length += taken;
    this.#complete = true;
    return taken;
  }
}

function fits(text: GrowingBytes | undefined, test: (device: Json) => boolean): boolean {
  if (text === undefined) return false;
  try {
    return test(parseDevice(text.bytes));
  } catch (error) {
    if (error instanceof Mismatch) return false;
    throw error;
  }
}
