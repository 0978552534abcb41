import type { ChannelContext, SendProgram } from 'multifd/engine';

/**
 * A payload type of our own: a number, which the program tells its owner, and the sum of the
 * payload's bytes.
 */
export const NUMBER = 7;
/** A payload at which the program fails. */
export const BAD = 666;
/** Bytes of a payload. */
export const PAYLOAD_BYTES = 64;

/** What a channel tells its owner: a payload that left, or a sync. */
export type Told = { number: number; sum: number } | 'sync';

export function createProgram({ emit }: ChannelContext): SendProgram {
  return {
    kind: 'send',
    payloads: new Map([
      [
        NUMBER,
        ({ fields, payload }) => {
          const number = fields[0]!;
          if (number === BAD) throw new Error('a bad number');
          emit({
            number,
            sum: payload.subarray(0, PAYLOAD_BYTES).reduce((sum, byte) => sum + byte, 0),
          } satisfies Told);
        },
      ],
    ]),
    open() {},
    sync: () => emit('sync' satisfies Told),
    stop() {},
    close() {},
  };
}
