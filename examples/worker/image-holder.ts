import { ConnectionQueue, MultifdError, receive, send } from 'multifd/workerd';
import { discardArriving, HELD, imageIntake } from './image-intake.ts';
import { serveImage } from './serve-image.ts';
import { type ImageRecord, StoredImage } from './stored-image.ts';
import { deleteAll, type Storage } from './storage.ts';

interface State {
  readonly storage: Storage;
  blockConcurrencyWhile(work: () => Promise<void>): void;
}

interface Settings {
  /** Channels of a migration to here, as many as its source has; null: 2. */
  readonly CHANNELS: string | null;
}

/** What a caller of /migrate got wrong; anything else is the target's. */
const WRONG = ['ERR_OPTION', 'ERR_URI', 'ERR_UNSUPPORTED'];

/**
 * The Durable Object: holds one image, in its storage. It is alone with it, so that what it knows
 * of it is always so.
 */
export class ImageHolder {
  readonly #storage: Storage;
  readonly #channels: number;
  #held: StoredImage | undefined;
  /** Of the migration that is on its way to here. */
  #queue: ConnectionQueue | undefined;

  constructor(state: State, { CHANNELS }: Settings) {
    const { storage } = state;
    this.#storage = storage;
    this.#channels = Number(CHANNELS ?? 2);
    state.blockConcurrencyWhile(async () => {
      await discardArriving(storage);
      const record = await storage.get<ImageRecord>(HELD);
      if (record !== undefined) this.#held = new StoredImage(storage, record);
    });
  }

  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const [path, { method }] = [url.pathname, request];
    if (path === '/multifd') return this.#receive(request);
    if (path === '/migrate' && method === 'POST')
      return this.#migrate(url.searchParams, request.headers.get('target-authorization'));
    if (path !== '/image') return text(404, 'there are /image, /multifd and /migrate?to=URI');
    if (method !== 'GET' && method !== 'HEAD')
      return text(405, 'an image comes by multifd, to /multifd');
    if (this.#held === undefined) return text(404, 'there is no image yet');
    return serveImage(request, this.#held, `"${this.#held.id}"`);
  }

  /** Takes a connection of a migration to here; the first one begins it. */
  async #receive(request: Request): Promise<Response> {
    if (this.#queue === undefined) {
      const queue = new ConnectionQueue();
      this.#queue = queue;
      void this.#take(queue).finally(() => {
        this.#queue = undefined;
        queue.close();
      });
    }
    return this.#queue.fetch(request);
  }

  async #take(queue: ConnectionQueue): Promise<void> {
    try {
      const { completed } = await receive({
        inbox: queue,
        channels: this.#channels,
        image: imageIntake(this.#storage, (image) => this.#replace(image)),
      });
      await completed;
    } catch (error) {
      // The source is told by the migration itself.
      console.error(`the migration to here failed: ${MultifdError.from(error).message}`);
    }
  }

  #replace(image: StoredImage): void {
    const former = this.#held;
    this.#held = image;
    former?.replace();
    if (former !== undefined) void deleteAll(this.#storage, `${former.id}/`);
  }

  /** Sends the image to a target that listens, and answers once it has everything. */
  async #migrate(query: URLSearchParams, authorization: string | null): Promise<Response> {
    const uri = query.get('to');
    if (uri === null) return text(400, 'say where to: /migrate?to=ws://HOST:PORT/PATH');
    if (this.#held === undefined) return text(404, 'there is no image yet');
    const channels = Number(query.get('channels') ?? this.#channels);
    const token = authorization === null ? {} : { token: authorization.replace(/^Bearer /, '') };
    try {
      const { ram } = await send({ uri, image: this.#held, channels, ...token });
      return Response.json({ ram });
    } catch (thrown) {
      const error = MultifdError.from(thrown);
      return Response.json(
        { error: error.toRecord() },
        { status: WRONG.includes(error.code) ? 400 : 502 },
      );
    }
  }
}

function text(status: number, what: string): Response {
  return new Response(`${what}\n`, { status });
}
