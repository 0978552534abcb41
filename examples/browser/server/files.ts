import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { extname } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.map': 'application/json',
  '.wasm': 'application/wasm',
};

/** What an address that begins with `prefix` stands for: a file of that folder. */
export interface Mount {
  prefix: string;
  folder: URL;
}

/** With these two a page may share memory with its workers. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const ALWAYS = {
  'Cache-Control': 'no-cache',
  // WebAssembly needs leave of its own; connections go wherever the page is told to connect to.
  'Content-Security-Policy':
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src *; img-src 'self' " +
    'data:',
  'X-Content-Type-Options': 'nosniff',
};

/**
 * Answers with a file, or with 404.
 * @param path of a parsed URL: it has no dot segments any more, and stays as it is encoded.
 */
export async function serveFile(
  response: ServerResponse,
  path: string,
  mounts: readonly Mount[],
  isolated: boolean,
): Promise<void> {
  const { prefix, folder } = mounts.find((mount) => path.startsWith(mount.prefix))!;
  const name = path.slice(prefix.length) || 'index.html';
  // Else a name that begins with a slash or a scheme would be an address of its own.
  const file = new URL(`./${name}`, folder);
  try {
    const content = await readFile(file);
    response
      .writeHead(200, {
        'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream',
        ...ALWAYS,
        ...(isolated && ISOLATION),
      })
      .end(content);
  } catch {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('there is no such file\n');
  }
}
