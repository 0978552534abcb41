import { concat, GrowingBytes } from '../../util/bytes.ts';

/**
 * Sections that are not "ram", before its END has been followed by the device sections. Devices
 * have them whose state is sent along with the RAM (virtio-mem, dirty bitmaps, a pseries guest's
 * page table, an s390x guest's storage attributes, VFIO), or has to be there before it.
 */

/** Where such a section is: before the START of "ram", up to its END, or behind that. */
export type OtherPlace = 'before' | 'between' | 'after';

/** One section in the stream: START, PART, END, or FULL. */
export interface OtherSection {
  readonly place: OtherPlace;
  readonly kind: 'start' | 'part' | 'end' | 'full';
  /** As the stream numbers it. */
  readonly sectionId: number;
  /** The device, as QEMU's savevm calls it. */
  readonly idstr: string;
  readonly instanceId: number;
  readonly version: number;
}

/** A device that had such sections, and what they were. */
export interface OtherDevice {
  readonly idstr: string;
  readonly instanceId: number;
  readonly version: number;
  readonly sections: number;
  /** Bytes of all its sections, with headers and footers. */
  readonly bytes: number;
}

/** Sections beside "ram", verbatim, each with its header and footer, by their place. */
export interface OtherBytes {
  readonly before: Uint8Array;
  readonly between: Uint8Array;
  readonly after: Uint8Array;
}

export const NO_OTHERS: OtherBytes = {
  before: new Uint8Array(0),
  between: new Uint8Array(0),
  after: new Uint8Array(0),
};

/** Collects sections beside "ram" by their place. */
export class PlacedBytes implements OtherBytes {
  readonly #places = {
    before: new GrowingBytes(),
    between: new GrowingBytes(),
    after: new GrowingBytes(),
  };

  append(place: OtherPlace, chunk: Uint8Array): void {
    this.#places[place].append(chunk);
  }

  get before(): Uint8Array {
    return this.#places.before.bytes;
  }

  get between(): Uint8Array {
    return this.#places.between.bytes;
  }

  get after(): Uint8Array {
    return this.#places.after.bytes;
  }
}

/** Keeps what a parser tells of sections beside "ram". */
export class OtherCollector extends PlacedBytes {
  /** FULL sections, which the description behind the device sections describes as well. */
  readonly #described = new GrowingBytes();
  readonly #devices = new Map<number, { -readonly [K in keyof OtherDevice]: OtherDevice[K] }>();
  #last: OtherSection | undefined;

  take(section: OtherSection, chunk: Uint8Array): void {
    this.append(section.place, chunk);
    if (section.kind === 'full') this.#described.append(chunk);
    const { sectionId, idstr, instanceId, version } = section;
    const device = this.#devices.get(sectionId) ?? {
      idstr,
      instanceId,
      version,
      sections: 0,
      bytes: 0,
    };
    this.#devices.set(sectionId, device);
    device.bytes += chunk.length;
    if (this.#last !== section) device.sections++;
    this.#last = section;
  }

  /** In the order in which they came first. */
  get devices(): OtherDevice[] {
    return [...this.#devices.values()];
  }

  /** The bytes that the description describes: these FULL sections, then the tail. */
  describedWith(tail: Uint8Array): Uint8Array {
    return this.#described.length === 0 ? tail : concat([this.#described.bytes, tail]);
  }
}
