import { MultifdError } from '../../util/errors.ts';
import { turn } from '../../util/timing.ts';
import { returnMessage, type ReturnMessage } from '../../stream/index.ts';
import { ConnectionInput } from '../../transport/connection-io.ts';
import type { Connection } from '../../transport/connection.ts';
import type { IdentifiedConnection } from '../../channel/receive-launcher.ts';
import type { StatisticsCollector } from '../statistics.ts';

/**
 * The main channel at the target: reads what the source says, and says what it asks to be told. In
 * postcopy a source that was lost comes back on another connection.
 */
export class MainLink {
  /** The source has asked to be told. */
  hasReturnPath = false;
  readonly #statistics: StatisticsCollector;
  readonly #onBroken: (error: MultifdError) => void;
  #connection: Connection | undefined;
  #input: ConnectionInput | undefined;
  #unwatch = (): void => {};

  /** @param onBroken told when it breaks; an end is for who reads. */
  constructor(statistics: StatisticsCollector, onBroken: (error: MultifdError) => void) {
    this.#statistics = statistics;
    this.#onBroken = onBroken;
  }

  /** Whether nothing goes either way any more. */
  get closed(): boolean {
    return this.#connection?.closed ?? true;
  }

  /** Reads the main channel from this connection. */
  attach({ connection, rest }: IdentifiedConnection): ConnectionInput {
    const input = new ConnectionInput(connection, 'main', rest, 0, (bytes) => {
      this.#statistics.mainBytes += bytes;
    });
    this.#connection = connection;
    this.#input = input;
    // While the channels are waited for nothing reads here, so a break would not be noticed. (An
    // end is no break: the source may have sent all it has to send.)
    this.#unwatch = connection.onBroken((cause) =>
      this.#onBroken(
        new MultifdError('ERR_PEER_CLOSED', `the connection broke: ${cause.message}`, {
          channel: 'main',
          offset: input.offset,
          cause,
        }),
      ),
    );
    return input;
  }

  /** What becomes of the connection is told no more. */
  unwatch(): void {
    this.#unwatch();
  }

  /** Gives a connection up that is lost. */
  drop(): void {
    this.#unwatch();
    this.#connection?.destroy();
  }

  /** Ends a read that is waiting. */
  stop(): void {
    this.#input?.stop();
  }

  /**
   * Says it, if the source has asked to be told. Resolves once it is on its way, or can't be: the
   * next read fails then.
   */
  async say(message: ReturnMessage): Promise<void> {
    if (!this.hasReturnPath || this.#connection?.writable !== true) return;
    await this.#connection.write([returnMessage(message)], () => {}).catch(() => {});
  }

  /**
   * Tells the source that all is well, and notes whether that can have reached it.
   * @param late it may have given up meanwhile.
   */
  async tell(late: boolean): Promise<void> {
    const connection = this.#connection!;
    if (!this.hasReturnPath) return;
    if (late) await this.probe();
    this.#statistics.confirmed =
      connection.writable &&
      (await connection
        .write([returnMessage({ type: 'shut', status: 0 })], () => {})
        .then(
          () => true,
          () => false,
        ));
    // A source that is gone resets the connection as soon as it gets that; it is told when the
    // connection is ended.
    await turn();
    await turn();
    await connection.closeWith(new Uint8Array(0), false);
    if (connection.broken !== undefined) this.#statistics.confirmed = false;
  }

  /**
   * A source that had sent everything, and then gave up, sends nothing about that: only a write to
   * it shows it, and with TCP only the next write does.
   */
  async probe(): Promise<void> {
    for (let again = 0; again < 2; again++) {
      void this.say({ type: 'pong', value: 0 });
      await turn();
      await turn();
    }
  }

  /** Tells the source that it failed, if it asked to be told. */
  async fail(): Promise<void> {
    if (this.hasReturnPath && this.#connection !== undefined)
      await this.#connection.closeWith(returnMessage({ type: 'shut', status: 1 }), true);
  }
}
