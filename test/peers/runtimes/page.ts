import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { bundleForPage, type Installed } from './installed.ts';

export const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.wasm': 'application/wasm',
  '.html': 'text/html',
};
/** What a page has to say to be given shared memory. */
export const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const HTML =
  '<!doctype html><title>multifd</title><script type="module" src="/page/page.js"></script>';

export type { Browser };

export const launchChromium = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });

/** Chromium, and a server that has the installed folder's files. */
export class Pages {
  readonly #browser: Browser;
  readonly #server: Server;

  private constructor(browser: Browser, server: Server) {
    this.#browser = browser;
    this.#server = server;
  }

  static async start(executablePath: string, installed: Installed): Promise<Pages> {
    await bundleForPage(installed);
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url!, 'http://localhost');
      const answer = (status: number, body: string | Buffer, type: string): void => {
        response
          .writeHead(status, { 'Content-Type': type, ...(pathname !== '/open' && ISOLATION) })
          .end(body);
      };
      if (pathname === '/isolated' || pathname === '/open')
        return answer(200, HTML, TYPES['.html']!);
      readFile(join(installed.folder, normalize(pathname))).then(
        (body) => answer(200, body, TYPES[extname(pathname)] ?? 'application/octet-stream'),
        () => answer(404, '', 'text/plain'),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const browser = await launchChromium(executablePath);
    return new Pages(browser, server);
  }

  /** A page with the api of entries/page.ts. */
  async open(isolated: boolean): Promise<Page> {
    const page = await this.#browser.newPage();
    const { port } = this.#server.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${port}/${isolated ? 'isolated' : 'open'}`);
    await page.waitForFunction(() => 'api' in globalThis);
    return page;
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
