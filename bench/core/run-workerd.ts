/** The same in workerd: the order comes with a request, and the speed goes out as its answer. */
import module from 'core.wasm';
import { type KernelOrder, measureKernel } from './measure-kernel.ts';

/** Time stands still here but for what comes from outside. */
async function now(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return Date.now();
}

export default {
  async fetch(request: Request): Promise<Response> {
    return new Response(
      String(
        await measureKernel((await request.json()) as KernelOrder, {
          module: async () => module,
          now,
        }),
      ),
    );
  },
};
