import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { ISOLATION, TYPES } from '../runtimes/page.ts';

/** As strict as an app's policy can be: of scripts in the page itself it has the hashes. */
function policyOf(page: string): string {
  const inline = [...page.matchAll(/<script[^>]*>([^<]+)<\/script>/g)].map(
    ([, text]) => `'sha256-${createHash('sha256').update(text!).digest('base64')}'`,
  );
  return ["default-src 'self'; script-src 'self' 'wasm-unsafe-eval'", ...inline].join(' ');
}

/** A bundle as a production server has it: isolated, with a policy, and nothing else. */
export async function serveBundle(folder: string, script: string): Promise<Server> {
  const index = join(folder, 'index.html');
  const page = existsSync(index)
    ? readFileSync(index, 'utf8')
    : `<!doctype html><title>app</title><script type="module" src="/${script}"></script>`;
  const policy = { 'Content-Security-Policy': policyOf(page) };
  const server = createServer((request, response) => {
    const answer = (status: number, body: string | Buffer, type: string): void =>
      void response.writeHead(status, { 'Content-Type': type, ...ISOLATION, ...policy }).end(body);
    const { pathname } = new URL(request.url!, 'http://localhost');
    if (pathname === '/') return answer(200, page, TYPES['.html']!);
    const file = join(folder, normalize(pathname));
    readFile(file).then(
      (body) => answer(200, body, TYPES[extname(file)] ?? 'application/octet-stream'),
      () => answer(404, '', 'text/plain'),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

export const addressOf = (server: Server): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
