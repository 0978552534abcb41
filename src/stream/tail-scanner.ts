import { Section } from './constants.ts';
import { beginsWithSection } from './tail-walk.ts';

const OPENING_BRACE = 0x7b;
const SPACE = 0x20;
/** The longest header of a FULL section: type, section id, a name of 255 bytes with its length, instance, version. */
const HEAD_LENGTH = 1 + 4 + 256 + 4 + 4;
const MAX_DESCRIPTION_LENGTH = 16 * 1024 * 1024;

/** A VMDESCRIPTION whose text is being collected. */
interface Candidate {
  /** Position of the text's first byte in the tail. */
  readonly offset: number;
  readonly length: number;
  /** How much of `text` is filled. */
  collected: number;
  /** Grows towards `length` as bytes arrive, so that a length alone allocates nothing. */
  text: Uint8Array;
}

/** The description of the device sections: JSON, with one entry per section. */
export interface VmDescription {
  /** Position of the text's first byte in the tail. */
  readonly offset: number;
  readonly json: { readonly devices: readonly unknown[] } & Readonly<Record<string, unknown>>;
}

/**
 * Finds the end of what follows the RAM in a main stream. Device sections have no length, and a source that waits for the
 * return path keeps the connection open, so the end is recognised by the stream's last record:
 *
 *     00 | 06 | be32 length | length bytes of JSON, an object with an array "devices"
 *
 * The first device must be the one that the tail begins with, so that device state which contains another stream's end is not
 * taken for this one's. A tail whose first byte is 00 has no device sections and ends there.
 *
 * JSON text has no control character but tab, line feed and carriage return. So another record's 00 ends a text that is being
 * collected, each byte belongs to the text of at most one candidate, and the work is linear however many false starts
 * the bytes contain. At most 16 MiB are kept.
 */
export class TailScanner {
  #length = 0;
  /** The tail's first bytes. */
  #head = new Uint8Array(0);
  /** The last eight bytes, as two 32-bit halves; what precedes the first byte is nothing's beginning. */
  #high = 0xffffffff;
  #low = 0xffffffff;
  #candidate: Candidate | undefined;
  #complete = false;
  #description: VmDescription | undefined;

  /** The tail's end has been seen. */
  get complete(): boolean {
    return this.#complete;
  }

  /** The description, once the tail is complete and has one. */
  get description(): VmDescription | undefined {
    return this.#description;
  }

  /** Whether the bytes so far can be a whole tail without a description: they end with a footer, 7e and a be32, and an EOF mark. */
  get endsWithMark(): boolean {
    return ((this.#high >>> 8) & 0xff) === Section.FOOTER && (this.#low & 0xff) === Section.EOF;
  }

  /** Takes the next bytes of the tail; gives how many of them belong to it. */
  feed(chunk: Uint8Array): number {
    if (this.#complete || chunk.length === 0) return 0;
    if (this.#length === 0 && chunk[0] === Section.EOF) return this.#finish(1);
    this.#keepHead(chunk);
    let at = 0;
    while (at < chunk.length) {
      at = this.#candidate === undefined ? this.#search(chunk, at) : this.#collect(chunk, at, this.#candidate);
      if (this.#complete) return this.#finish(at);
    }
    this.#length += chunk.length;
    return chunk.length;
  }

  #keepHead(chunk: Uint8Array): void {
    const missing = HEAD_LENGTH - this.#head.length;
    if (missing > 0) this.#head = Uint8Array.of(...this.#head, ...chunk.subarray(0, missing));
  }

  /** Looks for the beginning of a description; gives where the next byte is to be taken. */
  #search(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      if (this.#startsText(chunk[at]!, this.#length + at)) return at + 1;
    }
    return chunk.length;
  }

  /** Whether `byte` is the brace of a record's beginning; if so its text becomes the candidate, in place of any other. */
  #startsText(byte: number, position: number): boolean {
    this.#high = ((this.#high << 8) | (this.#low >>> 24)) >>> 0;
    this.#low = ((this.#low << 8) | byte) >>> 0;
    if (byte !== OPENING_BRACE || (this.#high & 0xffff00) !== 0x000600) return false;
    const length = (((this.#high & 0xff) << 24) | (this.#low >>> 8)) >>> 0;
    if (length > MAX_DESCRIPTION_LENGTH || length < 2) return false;
    this.#candidate = { offset: position, length, collected: 1, text: Uint8Array.of(byte) };
    return true;
  }

  /** Takes bytes of the candidate's text until it is whole, cannot be JSON, or the chunk ends. */
  #collect(chunk: Uint8Array, from: number, candidate: Candidate): number {
    const end = Math.min(chunk.length, from + candidate.length - candidate.collected);
    let at = from;
    while (at < end) {
      const byte = chunk[at++]!;
      if (byte < SPACE && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) this.#candidate = undefined;
      if (this.#startsText(byte, this.#length + at - 1) || this.#candidate === undefined) return at;
    }
    append(candidate, chunk.subarray(from, end));
    if (candidate.collected === candidate.length) this.#judge(candidate);
    return end;
  }

  #judge({ offset, text }: Candidate): void {
    this.#candidate = undefined;
    const json = parseDescription(text);
    if (json === undefined || !beginsWithSection(this.#head, json.devices[0])) return;
    this.#description = { offset, json };
    this.#complete = true;
  }

  #finish(taken: number): number {
    this.#length += taken;
    this.#complete = true;
    return taken;
  }
}

function append(candidate: Candidate, bytes: Uint8Array): void {
  const collected = candidate.collected + bytes.length;
  if (collected > candidate.text.length) {
    const grown = new Uint8Array(Math.min(candidate.length, Math.max(collected, candidate.text.length * 2)));
    grown.set(candidate.text);
    candidate.text = grown;
  }
  candidate.text.set(bytes, candidate.collected);
  candidate.collected = collected;
}

function parseDescription(text: Uint8Array): VmDescription['json'] | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(text));
    return isDescription(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function isDescription(json: unknown): json is VmDescription['json'] {
  return typeof json === 'object' && json !== null && 'devices' in json && Array.isArray(json.devices);
}
