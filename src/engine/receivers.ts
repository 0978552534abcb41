import { answering, givenArray, guarding } from '../util/checks.ts';
import { givenOptions } from '../util/options.ts';
import { MultifdError } from '../util/errors.ts';
import { ChannelGroup, GROUP_NAMES, type GroupOptions } from './group.ts';

/**
 * The receiving side: N channels that apply what they read, and stop at each sync until the owner
 * has seen all of them there. Each channel owns one slot for good, as the place its payloads land
 * in.
 */
export class Receivers {
  /** Its channels: their arena, and how they ended. */
  readonly group: ChannelGroup;

  /** @throws MultifdError ERR_OPTION for a geometry that is none. */
  constructor(options: GroupOptions) {
    this.group = guarding(() => new ChannelGroup(givenOptions('Receivers', options, GROUP_NAMES)));
  }

  /** Starts every channel. @throws the first channel's error. */
  start(data: readonly unknown[]): Promise<void> {
    return answering(() =>
      this.group.start(givenArray('data', data, 'an array with the data of each channel')),
    );
  }

  /**
   * The other half of each channel's barrier: waits until every channel has reached its next sync,
   * then lets all go on.
   * @throws the group's error, if it fails before or meanwhile; MultifdError ERR_PEER_CLOSED when
   *   a channel has ended, which fails nothing by itself; ERR_ENGINE after {@link finish}.
   */
  async sync(): Promise<void> {
    const { arena } = this.group;
    for (const [id, { semSync, counters }] of arena.channels.entries()) {
      await this.group.take(semSync);
      // A channel that has reached a sync stays there until it is let go on; so if it has ended,
      // this count stands for that.
      if (arena.isSet(id, 'ENDED')) {
        const [packet, offset] = counters;
        throw new MultifdError(
          'ERR_PEER_CLOSED',
          'the source closed the channel before the sync that the main channel announced',
          { channel: id, packet, offset },
        );
      }
    }
    for (const { sem } of arena.channels) sem.post();
  }

  /**
   * Ends every channel after the last sync, and waits until nothing of them is left.
   * @throws the group's error, if there is one.
   */
  async finish(): Promise<void> {
    this.group.end();
    await this.group.join();
    if (this.group.error !== undefined) throw this.group.error;
  }
}
