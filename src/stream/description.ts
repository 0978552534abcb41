import { asObject, type Json, Mismatch } from './device-state/tail-walk.ts';

/**
 * The description of the device sections (QEMU's VMDESCRIPTION) is JSON: an object with an array
 * "devices", one object per section. It can come from any peer, so it is never parsed as a whole:
 * its devices are found by their brackets, and parsed one by one, each within bounds. QEMU 10.0
 * takes 2 MB for 255 CPUs, 8 bytes for each item that is counted here.
 */

/** Bytes of a whole description. */
export const MAX_DESCRIPTION_LENGTH = 16 * 1024 * 1024;
/** Bytes of one device in it; QEMU's largest have some 30 KB. */
export const MAX_DEVICE_LENGTH = 2 * 1024 * 1024;
/** Values, keys and lists of one device; each becomes some 100 bytes of memory at the most. */
const MAX_DEVICE_ITEMS = 0x40000;
/** QEMU has three for each CPU, and 4096 CPUs at the most. */
const MAX_DEVICES = 0x8000;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const SPACE = 0x20;
const DEVICES = new TextEncoder().encode('devices');
/** Objects and lists that are open in the outermost object, in the list, and in a device. */
const OUTERMOST = 1;
const LIST = 2;
const DEVICE = 3;

/**
 * Finds the devices of a description byte by byte, by brackets and quotes, and parses nothing
 * else.
 */
export class DescriptionScan {
  /** The bytes up to here are a whole description, but for spaces behind it. */
  complete = false;
  /** The bytes so far begin no description. */
  wrong = false;
  /** A device has begun, and not ended. */
  inDevice = false;
  /** Devices that have ended. */
  devices = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** How much of "devices" the text in quotes is, this one or the last; -1: it is another. */
  #matched = -1;
  /** The value of the key "devices" is next. */
  #listNext = false;
  #inList = false;
  #listSeen = false;

  take(byte: number): void {
    if (this.#inString) this.#takeInString(byte);
    else if (byte > SPACE) this.#takeOutside(byte);
  }

  #takeInString(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false;
      this.#matched = -1;
    } else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inString = false;
    else if (this.#matched >= 0) {
      this.#matched = byte === DEVICES[this.#matched] ? this.#matched + 1 : -1;
    }
  }

  #takeOutside(byte: number): void {
    if (!this.#expects(byte)) this.wrong = true;
    else if (byte === OPENING_BRACE || byte === OPENING_BRACKET) this.#open();
    else if (byte === CLOSING_BRACE || byte === CLOSING_BRACKET) this.#close();
    else if (byte === COLON) {
      this.#listNext = this.#depth === OUTERMOST && this.#matched === DEVICES.length;
    } else if (byte === QUOTE) {
      this.#inString = true;
      this.#matched = 0;
    }
  }

  /** Within a device all that counts is where it ends. */
  #expects(byte: number): boolean {
    if (this.#listNext) return byte === OPENING_BRACKET && !this.#listSeen;
    if (this.#depth === 0) return byte === OPENING_BRACE && !this.complete;
    if (this.#depth === OUTERMOST) return byte !== CLOSING_BRACKET;
    if (!this.#inList || this.#depth !== LIST) return true;
    return byte === OPENING_BRACE || byte === COMMA || byte === CLOSING_BRACKET;
  }

  #open(): void {
    this.#depth++;
    if (this.#listNext) {
      this.#listNext = false;
      this.#inList = true;
      this.#listSeen = true;
    } else if (this.#inList && this.#depth === DEVICE) this.inDevice = true;
  }

  #close(): void {
    this.#depth--;
    if (this.#depth === 0) {
      this.complete = this.#listSeen;
      this.wrong = !this.complete;
    } else if (this.#inList && this.#depth === OUTERMOST) this.#inList = false;
    else if (this.#inList && this.#depth === LIST) {
      this.inDevice = false;
      if (++this.devices > MAX_DEVICES) this.wrong = true;
    }
  }
}

/**
 * The devices of a description, in order, one at a time.
 * @throws Mismatch if it is no description, or beyond its bounds.
 */
export function* devicesIn(text: Uint8Array): Generator<Json, void> {
  if (text.length > MAX_DESCRIPTION_LENGTH) throw new Mismatch();
  const scan = new DescriptionScan();
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const { inDevice } = scan;
    scan.take(text[at]!);
    if (scan.wrong) throw new Mismatch();
    if (scan.inDevice === inDevice) continue;
    if (inDevice) yield parseDevice(text.subarray(start, at + 1));
    else start = at;
  }
  if (!scan.complete) throw new Mismatch();
}

/**
 * One device of a description.
 * @throws Mismatch if it is no JSON object, or beyond its bounds.
 */
export function parseDevice(text: Uint8Array): Json {
  if (text.length > MAX_DEVICE_LENGTH || itemsIn(text) > MAX_DEVICE_ITEMS) throw new Mismatch();
  try {
    return asObject(JSON.parse(new TextDecoder().decode(text)));
  } catch {
    throw new Mismatch();
  }
}

/** No fewer than there are: marks within strings count too. */
function itemsIn(text: Uint8Array): number {
  let items = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case COMMA:
      case COLON:
      case OPENING_BRACE:
      case OPENING_BRACKET:
        items++;
    }
  }
  return items;
}
