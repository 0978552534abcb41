import { afterwards, atOnce } from '../../util/callbacks.ts';
import {
  givenBytes,
  givenMethods,
  givenObject,
  givenText,
  integer,
  refuse,
} from '../../util/checks.ts';
import type { ChannelGroup } from '../../engine/group.ts';
import type { DeviceState } from '../../blocks/payloads.ts';

/**
 * The pieces that a caller gives, one by one, as long as the group has not failed: a caller that
 * never gives the next one does not keep a failed migration waiting.
 * @throws MultifdError ERR_OPTION for what is none; what the caller's code throws; the group's
 *   error.
 */
export async function* piecesOf(
  states: Iterable<DeviceState> | AsyncIterable<DeviceState>,
  group: ChannelGroup,
): AsyncGenerator<DeviceState> {
  const pieces = iteratorOf(states);
  let over = false;
  try {
    for (;;) {
      const { done, value } = await group.race(Promise.resolve(pieces.next()));
      over = done === true;
      if (over) return;
      yield checkPiece(value as DeviceState);
    }
  } finally {
    if (!over) void afterwards('return() of the device state', () => pieces.return?.());
  }
}

function iteratorOf(
  states: Iterable<DeviceState> | AsyncIterable<DeviceState>,
): Iterator<DeviceState> | AsyncIterator<DeviceState> {
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now } = (states ?? {}) as Partial<
    AsyncIterable<DeviceState> & Iterable<DeviceState>
  >;
  const method: unknown = typeof later === 'function' ? later : now;
  if (typeof method === 'function') {
    const iterator = atOnce(
      'the iterator of the device state',
      method.call(states) as Iterator<DeviceState> | AsyncIterator<DeviceState>,
    );
    return givenMethods('the iterator of the device state', iterator, ['next'], 'what has next()');
  }
  return refuse(
    'deviceState',
    states,
    'an array, or another iterable, of { idstr, instanceId, data }',
  );
}

function checkPiece(piece: DeviceState): DeviceState {
  const { idstr, instanceId, data } = givenObject(
    'a piece of device state',
    piece,
    '{ idstr, instanceId, data }',
  );
  givenText('the idstr of device state', idstr);
  integer('device state instance id', instanceId, 0, 0xffff_ffff);
  return {
    idstr,
    instanceId,
    data: givenBytes(`the data of device state ${JSON.stringify(idstr)}`, data),
  };
}
