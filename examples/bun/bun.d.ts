/** What is used of Bun beside Node's and web standards. */
declare const Bun: {
  spawn(
    command: string[],
    options: { stdout: 'pipe'; stderr: 'inherit' },
  ): { readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>; readonly exited: Promise<number> };
};
