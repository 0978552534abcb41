import {
  answering,
  givenArray,
  givenFunction,
  givenMethods,
  guarding,
  inWords,
} from '../util/checks.ts';
import { givenOptions, type OptionNames } from '../util/options.ts';
import { MultifdError } from '../util/errors.ts';
import { Client } from './client.ts';
import { ChannelGroup } from './group.ts';
import type { Launcher } from './launch.ts';

/** What an {@link Engine} is made of. Lengths in bytes. */
export interface EngineOptions {
  /** Starts the channels: `inlineLauncher` or `workerLauncher`. */
  launcher: Launcher;
  /**
   * What each channel's program gets; as many channels as entries, 1 to 255. Structured-cloneable
   * for workers.
   */
  channels: readonly unknown[];
  /** How many clients there are, 1 or more. */
  clients: number;
  /** Room in a slot: what the largest payload type needs. */
  payloadBytes: number;
  /** Scratch of each channel's program (0). */
  scratchBytes?: number;
  /** An area for all channels and clients (0). */
  sharedBytes?: number;
  /** Called with what the channels' programs emit. */
  onValue?: (channel: number, value: unknown) => void;
}

const ENGINE_NAMES = {
  launcher: true,
  channels: true,
  clients: true,
  payloadBytes: true,
  scratchBytes: true,
  sharedBytes: true,
  onValue: true,
} as const satisfies OptionNames<EngineOptions>;

/** How an engine's channels are started. */
export interface StartOptions {
  /** In threads of a lower priority, one after the other (false). */
  lowPriority?: boolean;
}

const START_NAMES = { lowPriority: true } as const satisfies OptionNames<StartOptions>;

/** Who owns a slot, where it is in the arena (bytes), and of what payload type it is. */
export interface SlotOwner {
  owner: 'channel' | 'client';
  index: number;
  offset: number;
  type: number;
}

/**
 * The sending engine: N channels and M clients share N + M slots, and a send swaps two offsets. It
 * knows no payload type but NONE.
 *
 * Roles: the owner (this object's thread) starts, syncs and ends it; each client fills and sends
 * its own slot, in any thread; each channel sends what it is handed. No slot belongs to the engine,
 * so none can leak or be freed twice: at any time each slot is owned by exactly one channel or
 * client.
 */
export class Engine {
  /** Its channels: their arena, and how they ended. */
  readonly group: ChannelGroup;
  readonly #channels: readonly unknown[];
  readonly #clients: number;

  /** @throws MultifdError ERR_OPTION for counts out of range. */
  constructor(options: EngineOptions) {
    const {
      channels: given,
      clients,
      launcher,
      payloadBytes,
      scratchBytes = 0,
      sharedBytes = 0,
    } = givenOptions('an Engine', options, ENGINE_NAMES);
    const channels = givenArray('channels', given, 'an array with the data of each');
    givenMethods(
      'launcher',
      launcher,
      ['launch'],
      'what inlineLauncher() or workerLauncher() gives',
    );
    givenFunction('onValue', options.onValue);
    if (channels.length < 1 || channels.length > 255)
      throw new MultifdError('ERR_OPTION', `${channels.length} channels: give 1 to 255`);
    if (!Number.isInteger(clients) || clients < 1)
      throw new MultifdError('ERR_OPTION', `${inWords(clients)} clients: give at least 1`);
    this.#channels = channels;
    this.#clients = clients;
    this.group = guarding(
      () =>
        new ChannelGroup({
          geometry: { channels: channels.length, clients, payloadBytes, scratchBytes, sharedBytes },
          launcher,
          ...(options.onValue && { onValue: options.onValue }),
        }),
    );
  }

  /**
   * Opens every channel; with `lowPriority` one after the other, in threads of a lower
   * priority.
   * @throws the first channel's error; {@link abort} then waits until nothing is left of the
   *   others.
   */
  start(options: StartOptions = {}): Promise<void> {
    return answering(() =>
      this.group.start(
        this.#channels,
        givenOptions('start', options, START_NAMES).lowPriority ?? false,
      ),
    );
  }

  /**
   * Client `index`, 0 to clients - 1, for use in this thread; its `handle` for another. One thread
   * uses a client.
   * @throws MultifdError ERR_ENGINE when there is none of that index.
   */
  client(index: number): Client {
    if (!Number.isInteger(index) || index < 0 || index >= this.#clients)
      throw new MultifdError(
        'ERR_ENGINE',
        `there is no client ${inWords(index)}: the engine has ${this.#clients}`,
      );
    return Client.of(
      this.group.arena,
      index,
      this.group.inline ? 'owner of inline channels' : 'owner',
    );
  }

  /**
   * A barrier over all channels: resolves once everything sent before has left, with each channel's
   * sync mark behind it. Other clients' sends wait. A client's own part-filled slot is not sent by
   * this: send it first.
   * @throws the engine's error, if it fails before or meanwhile; MultifdError ERR_ENGINE when it
   *   has ended.
   */
  async sync(): Promise<void> {
    const { group } = this;
    const { arena } = group;
    await this.#alone(async () => {
      for (const [id, { sem }] of arena.channels.entries()) {
        arena.set(id, 'PENDING_SYNC', true); // publishes the wish to sync to the channel
        sem.post();
      }
      for (const { semSync } of arena.channels) {
        // One count each: a channel posts CHANNELS_READY again after its sync, and after the job it
        // may have had before.
        await group.take(arena.channelsReady);
        await group.take(semSync);
      }
    });
  }

  /**
   * Waits for what is under way, then ends every channel and waits until nothing of them is left.
   * @throws the engine's error, if it fails before that; MultifdError ERR_ENGINE when it has
   *   ended already.
   */
  async finish(): Promise<void> {
    const { group } = this;
    try {
      await this.#alone(async () => {
        for (const _ of group.arena.channels) await group.take(group.arena.channelsReady);
        group.end();
      });
    } finally {
      await group.join();
    }
    if (group.error !== undefined) throw group.error;
  }

  /**
   * Gives up: fails the engine with `error` unless it has failed already, and waits until nothing
   * of the channels is left. What they had in their slots is dropped; each client keeps its slot,
   * with what is in it. Never rejects. A channel that does not stop is ended after 5 s.
   */
  async abort(error: MultifdError): Promise<void> {
    this.group.fail(MultifdError.from(error));
    await this.group.join();
  }

  /** Who owns which slot; a fact only while no client sends. */
  owners(): SlotOwner[] {
    const { arena } = this.group;
    const entry = (owner: 'channel' | 'client', index: number): SlotOwner => {
      const { offset, type } =
        owner === 'channel' ? arena.channelSlot(index) : arena.clientSlot(index);
      return { owner, index, offset, type };
    };
    return [
      ...arena.channels.map((_, id) => entry('channel', id)),
      ...Array.from({ length: this.#clients }, (_, n) => entry('client', n)),
    ];
  }

  /** Does `work` while no client sends. */
  async #alone(work: () => Promise<void>): Promise<void> {
    const { sendLock, running } = this.group.arena;
    if (!(await sendLock.lockAsync(running))) throw await this.group.whyNot();
    try {
      await work();
    } finally {
      sendLock.unlock();
    }
  }
}
