import { ConnectionQueue } from 'multifd';
import type { Capability } from '../../conformance/capabilities.ts';
import { conformance } from '../../conformance/suite.ts';
import { runSource, runTarget } from './memory-ends.ts';
import reactor from './reactor.wasm';

interface Env {
  TARGET: {
    idFromName(name: string): unknown;
    get(id: unknown): { fetch(request: Request): Promise<Response> };
  };
}

/**
 * The suite, and both ends of a migration, in workerd. A target's connections are requests of their
 * own, and what they bring can be used in one place only: so each target is a Durable Object, named
 * by the path's first part.
 */
export default {
  async fetch(request: Request, { TARGET }: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const [, command, name = ''] = pathname.split('/');
    const options = JSON.parse(searchParams.get('options') ?? '{}');
    if (command === 'conformance')
      return lines(
        conformance(new Set(options.can as Capability[]), {
          ...options.addresses,
          reactor: reactor as unknown as WebAssembly.Module,
        }),
      );
    if (command === 'source') return Response.json(await runSource(options));
    return TARGET.get(TARGET.idFromName(name)).fetch(request);
  },
};

/**
 * `POST /target/NAME` and upgrades there: connections of a migration. `GET /expect/NAME?options=`:
 * begins, and answers when it has ended.
 */
export class Target {
  readonly #inbox = new ConnectionQueue({ token: 'right' });

  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (!pathname.startsWith('/expect/')) return this.#inbox.fetch(request);
    return Response.json(
      await runTarget({ ...JSON.parse(searchParams.get('options')!), inbox: this.#inbox }),
    );
  }
}

/** One line of JSON a value, each sent as it comes. */
function lines(values: AsyncIterable<unknown>): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const write = async (): Promise<void> => {
    const writer = writable.getWriter();
    for await (const value of values)
      await writer.write(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
    await writer.close();
  };
  void write();
  return new Response(readable);
}
