import type { Socket } from 'node:net';
import { MultifdError } from '../../errors.ts';
import { ByteReader, readReturnMessage } from '../../stream/index.ts';
import { SocketInput } from '../../transport/socket-input.ts';

/** How long a target that has broken off a channel may take to say why. */
const VERDICT_MS = 1_000;

/** What the target says, read all through the migration. */
export class ReturnPath {
  /** Settles once: undefined when the target has everything, else why not. */
  readonly verdict: Promise<MultifdError | undefined>;
  /** Resolves when the target has said that the source may switch over; rejects if it ends without. */
  readonly acknowledged: Promise<void>;
  /** How many messages came: any of them is a sign of life. */
  messages = 0;
  readonly #input: SocketInput;
  #acknowledge!: () => void;

  constructor(socket: Socket) {
    let refuse!: (error: MultifdError) => void;
    this.acknowledged = new Promise((resolve, reject) => {
      this.#acknowledge = resolve;
      refuse = reject;
    });
    this.acknowledged.catch(() => {}); // nobody has to be waiting for it
    this.#input = new SocketInput(socket, 'main', new Uint8Array(0), 0);
    this.verdict = this.#read().catch((thrown: unknown) => MultifdError.from(thrown, 'ERR_STREAM', { channel: 'main' }));
    void this.verdict.then((error) => refuse(error ?? new MultifdError('ERR_STREAM', 'the target never said that the source may switch over', { channel: 'main' })));
  }

  /** The target's own account of a failure, when it comes soon; else `seen`, what was seen of it from here. */
  async explain(seen: MultifdError): Promise<MultifdError> {
    if (seen.code !== 'ERR_PEER_CLOSED') return seen;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, VERDICT_MS, undefined);
    });
    const verdict = await Promise.race([this.verdict, late]);
    clearTimeout(timer);
    return verdict?.code === 'ERR_REMOTE' ? verdict : seen;
  }

  async #read(): Promise<MultifdError | undefined> {
    const reader = new ByteReader(this.#input);
    for (;;) {
      const message = await readReturnMessage(reader);
      if (message === undefined) {
        return new MultifdError('ERR_PEER_CLOSED', 'the target closed the connection before it had everything', { channel: 'main', offset: reader.position });
      }
      this.messages++;
      if (message.type === 'switchover-ack') this.#acknowledge();
      if (message.type !== 'shut') continue;
      if (message.status === 0) return undefined;
      return new MultifdError('ERR_REMOTE', `the target failed (status ${message.status}): its own output says why`, { channel: 'main', offset: reader.position });
    }
  }
}
