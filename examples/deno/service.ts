/**
 * A service that counts visits, and moves to another process while it serves them.
 *
 *     TOKEN=secret deno run -A examples/deno/service.ts 8001             begins to count
 *     TOKEN=secret deno run -A examples/deno/service.ts 8002 --wait      waits for one that counts
 *     curl 127.0.0.1:8001/7                                              counts a visit of page 7, and says how many there were
 *     curl -X POST -H 'Authorization: Bearer secret'
 *     '127.0.0.1:8001/move?to=ws://127.0.0.1:8002/multifd'
 */
import { Guest, ConnectionQueue, MultifdError, receive } from 'multifd';

const [port, mode] = Deno.args;
const token = Deno.env.get('TOKEN');
if (port === '--help') {
  console.log('TOKEN=SECRET deno run -A examples/deno/service.ts PORT [--wait]');
  Deno.exit(0);
}
if (port === undefined || !/^\d+$/.test(port) || token === undefined) {
  console.error('ERR_OPTION: give a port, and a token in the environment: TOKEN; see --help');
  Deno.exit(2);
}

/** All that the service knows, 16 MiB of it: a process that has the memory can go on. */
const memory = new WebAssembly.Memory({ initial: 256 });
const visits = new Uint32Array(memory.buffer);
let serving = mode !== '--wait';

const guest = new Guest({
  blocks: [{ id: 'visits', memory }],
  stop() {
    serving = false;
  },
  resume() {
    serving = true;
  },
});

const queue = new ConnectionQueue({ token });
if (!serving) {
  await receive({
    inbox: queue,
    blocks: { visits: memory },
    // The source counts no more when this is called, and has not been told yet that all is here.
    start() {
      serving = true;
    },
  });
}

try {
  Deno.serve({ hostname: '127.0.0.1', port: Number(port) }, handle);
} catch (error) {
  console.error(
    `ERR_LISTEN: 127.0.0.1:${port} can't be listened on: ${(error as Error).message}; give ` +
      'another port, 0 for any free one',
  );
  Deno.exit(1);
}

async function handle(request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === '/multifd') return queue.fetch(request);
  if (pathname === '/move') return move(request, searchParams.get('to') ?? '');
  const page = Number(pathname.slice(1));
  if (!(page in visits)) return answer(404, `there are pages /0 to /${visits.length - 1}`);
  if (!serving) return answer(503, 'the service is not here');
  visits[page]!++;
  return answer(200, String(visits[page]));
}

async function move(request: Request, uri: string): Promise<Response> {
  if (request.method !== 'POST' || request.headers.get('authorization') !== `Bearer ${token}`)
    return answer(401, 'give the token');
  try {
    const { downtime } = await guest.migrate({ uri, token: token! });
    return answer(200, `moved; stood still for ${downtime!.toFixed(1)} ms`);
  } catch (error) {
    return answer(502, MultifdError.from(error).message);
  }
}

function answer(status: number, text: string): Response {
  return new Response(`${text}\n`, { status });
}
