/**
 * The same in a browser's page: the order is in the page's address, and the speed is posted to
 * where the page came from.
 */
import { type KernelOrder, measureKernel } from './measure-kernel.ts';

const order = JSON.parse(new URLSearchParams(location.search).get('order')!) as KernelOrder;
const said = await measureKernel(order, {
  module: () => WebAssembly.compileStreaming(fetch('core.wasm')),
  now: () => performance.now(),
}).then(String, String);
await fetch('speed', { method: 'POST', body: said });
