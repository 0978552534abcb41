import type { Capability, Io } from '../../conformance/capabilities.ts';
import { REACTOR_BYTES } from '../../conformance/reactor.ts';
import { conformance } from '../../conformance/suite.ts';

/**
 * The suite on Node, Deno and Bun: one line of JSON a result. Its argument says what the runtime
 * can do, and what it may use.
 */
const { can, ...io } = JSON.parse(process.argv[2]!) as { can: Capability[] } & Omit<
  Io,
  'reactor' | 'channelModule'
>;
const channelModule = new URL('channel.js', import.meta.url);
for await (const result of conformance(new Set(can), {
  ...io,
  channelModule,
  reactor: await WebAssembly.compile(REACTOR_BYTES),
}))
  console.log(JSON.stringify(result));
