import { GrowingBytes } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import type { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { commandLengthFits } from '../commands.ts';
import { Section } from '../constants.ts';
import type { MainStreamHandler } from '../handler.ts';
import { layoutOf } from './layouts.ts';
import { type Budget, SectionBytes } from './section-bytes.ts';
import type { OtherPlace, OtherSection } from './section.ts';

/** What a START or FULL section says of itself. */
export interface SectionHeader {
  readonly sectionId: number;
  readonly idstr: string;
  readonly instanceId: number;
  readonly version: number;
}

const FOOTER_LENGTH = 5;

/**
 * Follows the sections beside "ram". They have no length. Where the layout of their content is
 * known it is walked; others end with the first footer of theirs that is followed by what may
 * follow one. What is taken for the end of a FULL section so is held against the description behind
 * the device sections, which describes it too.
 */
export class OtherSections {
  readonly #reader: ByteReader;
  readonly #handler: MainStreamHandler;
  readonly #budget: Budget;
  readonly #devices = new Map<number, SectionHeader & { ended: boolean }>();
  /** FULL sections, which the description is to be held against. */
  readonly full: Uint8Array[] = [];
  /** The first FULL section of which only its footer has told where it ends. */
  guessed: string | undefined;
  /** The id of "ram", once it has been started. */
  ram: number | undefined;

  constructor(reader: ByteReader, handler: MainStreamHandler, most: number) {
    this.#reader = reader;
    this.#handler = handler;
    this.#budget = { taken: 0, most };
  }

  /** Bytes that came of such sections. */
  get taken(): number {
    return this.#budget.taken;
  }

  /** Whether PART or END of `sectionId` can come. */
  isOpen(sectionId: number): boolean {
    return this.#devices.get(sectionId)?.ended === false;
  }

  /** START or FULL, whose header has been read. @throws MultifdError ERR_STREAM. */
  async begin(type: number, header: SectionHeader, place: OtherPlace, at: number): Promise<void> {
    const { sectionId, idstr, instanceId, version } = header;
    if (sectionId === this.ram || this.#devices.has(sectionId))
      throw this.#reader.error(
        'ERR_STREAM',
        `the section "${idstr}" has the number ${sectionId}, which another has`,
        at,
      );
    const isFull = type === Section.FULL;
    this.#devices.set(sectionId, { ...header, ended: isFull });
    const bytes = new ByteWriter()
      .u8(type)
      .u32(sectionId)
      .name(idstr)
      .u32(instanceId)
      .u32(version)
      .finish();
    await this.#section({ ...header, place, kind: isFull ? 'full' : 'start' }, bytes);
  }

  /** PART or END, whose header has been read. @throws MultifdError ERR_STREAM. */
  async goOn(type: number, sectionId: number, place: OtherPlace, at: number): Promise<void> {
    const device = this.#devices.get(sectionId);
    if (device === undefined || device.ended)
      throw this.#reader.error(
        'ERR_STREAM',
        device === undefined
          ? `the section ${sectionId} goes on before it was started`
          : `the section ${sectionId}, "${device.idstr}", goes on behind its end`,
        at,
      );
    device.ended = type === Section.END;
    const bytes = new ByteWriter().u8(type).u32(sectionId).finish();
    await this.#section({ ...device, place, kind: device.ended ? 'end' : 'part' }, bytes);
  }

  async #section(section: OtherSection, header: Uint8Array): Promise<void> {
    const kept = section.kind === 'full' ? new GrowingBytes() : undefined;
    const take = (chunk: Uint8Array): void | Promise<void> => {
      kept?.append(chunk);
      return this.#handler.other(section, chunk);
    };
    const bytes = new SectionBytes(this.#reader, section, take, this.#budget);
    await bytes.put(header);
    const layout = layoutOf(section);
    if (layout === undefined) await this.#delimit(section, bytes).catch(endless(section));
    else await layout.walk(bytes, section);
    if (layout === undefined && section.kind === 'full') this.guessed ??= section.idstr;
    const at = this.#reader.position;
    const footer = await bytes.fields(FOOTER_LENGTH);
    if (footer.getUint8(0) !== Section.FOOTER || footer.getUint32(1) !== section.sectionId)
      throw this.#reader.error(
        'ERR_STREAM',
        `the section of ${section.idstr} is not followed by its footer: it is longer than was ` +
          'known of its version',
        at,
      );
    if (kept !== undefined) this.full.push(kept.bytes);
  }

  /** Up to the footer that ends it. */
  async #delimit({ sectionId, place }: OtherSection, bytes: SectionBytes): Promise<void> {
    const reader = this.#reader;
    for (;;) {
      await reader.ensure(1);
      const at = reader.ahead().indexOf(Section.FOOTER);
      if (at !== 0) await bytes.put(reader.bytes(at < 0 ? reader.buffered : at));
      if (at < 0) continue;
      await reader.ensure(FOOTER_LENGTH);
      if (be32(reader.ahead(), 1) === sectionId && (await this.#canFollow(place))) return;
      await bytes.put(reader.bytes(1));
    }
  }

  /** Whether what is behind the footer at hand can be the next record. */
  async #canFollow(place: OtherPlace): Promise<boolean> {
    const reader = this.#reader;
    const ahead = async (count: number): Promise<Uint8Array> => {
      await reader.ensure(FOOTER_LENGTH + count);
      return reader.ahead().subarray(FOOTER_LENGTH);
    };
    const [type] = await ahead(1);
    switch (type) {
      case Section.START:
      case Section.FULL: {
        const head = await ahead(6);
        const id = be32(head, 1);
        if (id === this.ram || this.#devices.has(id)) return false;
        const length = head[5]!;
        const name = (await ahead(6 + length + 8)).subarray(6, 6 + length);
        return length > 0 && name.every((byte) => byte >= 0x20 && byte < 0x7f);
      }
      case Section.PART:
      case Section.END: {
        const id = be32(await ahead(5), 1);
        return (id === this.ram && place !== 'after') || this.isOpen(id);
      }
      case Section.COMMAND: {
        const head = await ahead(5);
        return commandLengthFits(head[1]! * 256 + head[2]!, head[3]! * 256 + head[4]!);
      }
      case Section.EOF:
        return place === 'after';
      default:
        return false;
    }
  }
}

/** Adds what was being looked for when the stream ended. */
function endless({ idstr, version }: OtherSection): (thrown: unknown) => never {
  return (thrown) => {
    const error = MultifdError.from(thrown);
    throw MultifdError.fromRecord({
      ...error.toRecord(),
      message:
        `${error.message}, in the section of ${idstr}, version ${version}, whose layout is not ` +
        'known, so that its footer is looked for',
    });
  };
}

function be32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}
