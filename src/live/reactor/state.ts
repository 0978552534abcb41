import { concat } from '../../util/bytes.ts';
import { MultifdError } from '../../util/errors.ts';
import { DEVICE_STATE_BYTES, type DeviceState } from '../../blocks/payloads.ts';
import { type GlobalValue, isGlobalValue } from './globals.ts';
import type { Description } from './program.ts';

/** Whose device state it is. */
export const REACTOR_IDSTR = 'multifd/reactor';

const VERSION = 1;
const HEADER_BYTES = 16;
/** More than this of a description would be none. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;
/** With the JSON it stays below what a migration takes of device state in all. */
const MAX_HOST_BYTES = 200 * 1024 * 1024;

export interface ReactorState {
  description: Description;
  globals: ReadonlyMap<string, GlobalValue>;
  /** The host's own. */
  host: Uint8Array;
}

/**
 * A reactor's state in pieces of device state, which are numbered by their instance ids:
 *
 * ```
 * 0   u32  version 1
 * 4   u32  pieces
 * 8   u32  bytes of JSON
 * 12  u32  bytes of the host's own
 * 16       JSON: { description: [line, ...], globals: [[name, type, bits], ...] }, in UTF-8
 *          the host's own
 * ```
 *
 * @throws MultifdError ERR_GUEST for more than a migration takes.
 */
export function toPieces({ description, globals, host }: ReactorState): DeviceState[] {
  const values = [...globals].map(([name, value]) =>
    'bits' in value ? [name, value.type, value.bits] : [name, value.type],
  );
  const json = new TextEncoder().encode(JSON.stringify({ description, globals: values }));
  if (json.length > MAX_JSON_BYTES)
    throw new MultifdError(
      'ERR_GUEST',
      `the program's exports and globals take ${json.length} bytes to describe: at most ` +
        `${MAX_JSON_BYTES} can go along`,
    );
  if (host.length > MAX_HOST_BYTES)
    throw new MultifdError(
      'ERR_GUEST',
      `the program's host has ${host.length} bytes of its own: at most ${MAX_HOST_BYTES} can ` +
        'go along',
    );
  const bytes = new Uint8Array(HEADER_BYTES + json.length + host.length);
  const pieces = Math.ceil(bytes.length / DEVICE_STATE_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of [VERSION, pieces, json.length, host.length].entries())
    view.setUint32(4 * i, value);
  bytes.set(json, HEADER_BYTES);
  bytes.set(host, HEADER_BYTES + json.length);
  return Array.from({ length: pieces }, (_, n) => ({
    idstr: REACTOR_IDSTR,
    instanceId: n,
    data: bytes.subarray(n * DEVICE_STATE_BYTES, (n + 1) * DEVICE_STATE_BYTES),
  }));
}

/** What came of a reactor's state, piece by piece, in any order. */
export class ReactorPieces {
  readonly #pieces = new Map<number, Uint8Array>();

  /** @throws MultifdError ERR_GUEST for a piece that is not a reactor's, or there already. */
  take({ idstr, instanceId, data }: DeviceState): void {
    if (idstr !== REACTOR_IDSTR)
      throw new MultifdError(
        'ERR_GUEST',
        `the source sent state of ${JSON.stringify(idstr)}: is it a reactor?`,
      );
    if (this.#pieces.has(instanceId))
      throw new MultifdError('ERR_GUEST', `piece ${instanceId} of the program's state came twice`);
    this.#pieces.set(instanceId, data);
  }

  /** @throws MultifdError ERR_GUEST when it is not whole, or no such state. */
  join(): { description: Description; globals: Map<string, GlobalValue>; host: Uint8Array } {
    const first = this.#pieces.get(0);
    if (first === undefined || first.length < HEADER_BYTES)
      throw broken('its first piece is missing');
    const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
    const [version, count, jsonLength, hostLength] = [0, 4, 8, 12].map((at) =>
      view.getUint32(at),
    ) as [number, number, number, number];
    if (version !== VERSION)
      throw broken(`it is of version ${version}, and only ${VERSION} is known`);
    if (count !== this.#pieces.size) throw broken(`${this.#pieces.size} of ${count} pieces came`);
    const pieces = Array.from({ length: count }, (_, n) => this.#pieces.get(n));
    if (pieces.includes(undefined)) throw broken('a piece is missing');
    const bytes = concat(pieces as Uint8Array[]);
    if (jsonLength > MAX_JSON_BYTES || HEADER_BYTES + jsonLength + hostLength !== bytes.length)
      throw broken('its lengths do not add up');
    const { description, globals } = parse(bytes.subarray(HEADER_BYTES, HEADER_BYTES + jsonLength));
    return {
      description,
      globals,
      host: new Uint8Array(bytes.subarray(HEADER_BYTES + jsonLength)),
    };
  }
}

function parse(json: Uint8Array): { description: Description; globals: Map<string, GlobalValue> } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw broken('it is no JSON', cause);
  }
  const { description, globals } = (isObject(parsed) ? parsed : {}) as Record<string, unknown>;
  if (!Array.isArray(description) || !description.every((line) => typeof line === 'string'))
    throw broken('it does not describe a program');
  if (!Array.isArray(globals)) throw broken('it has no globals');
  const values = new Map<string, GlobalValue>();
  for (const entry of globals as unknown[]) {
    const [name, type, bits, ...more] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof name !== 'string' || more.length > 0 || !isGlobalValue(type, bits))
      throw broken(`global ${values.size} has no name or no value`);
    if (values.has(name))
      throw broken(`the global ${JSON.stringify(name.slice(0, 100))} is there twice`);
    values.set(name, { type, bits } as GlobalValue);
  }
  return { description, globals: values };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function broken(why: string, cause?: unknown): MultifdError {
  return new MultifdError('ERR_GUEST', `the program's state can't be used: ${why}`, { cause });
}
