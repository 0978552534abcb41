import asc from 'assemblyscript/asc';
import {
  type DeviceState,
  type Reactor,
  type ReactorGuestOptions,
  reactorGuest,
  reactorTarget,
  receive,
} from 'multifd';

/** Globals of each kind, and a table. */
export const COUNTERS = `
  export let i: i32 = 0;
  export let l: i64 = 0;
  export let f: f32 = 0;
  export let d: f64 = 0;
  export const limit: i32 = 7;
  export function setBits(float: u32, double: u64): void { f = reinterpret<f32>(float); d = reinterpret<f64>(double); }
  export function bitsOfF(): u32 { return reinterpret<u32>(f); }
  export function bitsOfD(): u64 { return reinterpret<u64>(d); }
  function one(): i32 { return 1; }
  function two(): i32 { return 2; }
  export function call(n: i32): i32 { return call_indirect<i32>(n ? one.index : two.index); }
`;

/** Of a program that nobody drives. */
export const IGNORE = { stop() {}, resume() {} };

export interface Exports extends Record<string, WebAssembly.ExportValue> {
  i: WebAssembly.Global;
  l: WebAssembly.Global;
  f: WebAssembly.Global;
  d: WebAssembly.Global;
  memory: WebAssembly.Memory;
  table: WebAssembly.Table;
  setBits(float: number, double: bigint): void;
  bitsOfF(): number;
  bitsOfD(): bigint;
}

export interface Booted {
  instance: WebAssembly.Instance;
  exports: Exports;
}

export async function boot(module: WebAssembly.Module): Promise<Booted> {
  const instance = await WebAssembly.instantiate(module);
  return { instance, exports: instance.exports as unknown as Exports };
}

export function globalsOf({ i, l, f, d }: Exports): unknown[] {
  return [i.value, l.value, f.value, d.value];
}

/**
 * Hands a reactor's pieces to another one, as `receive` does.
 * @returns whether it was started, and with what of the host.
 */
export async function take(
  reactor: Reactor,
  pieces: readonly DeviceState[],
  blocks = ['memory'],
): Promise<{ started: boolean; host?: Uint8Array }> {
  const arrival: { started: boolean; host?: Uint8Array } = { started: false };
  const target = reactorTarget(reactor, {
    loadHost: (host) => void (arrival.host = host),
    start: () => void (arrival.started = true),
  });
  for (const id of blocks) target.blocks({ id, usedLength: 65536 });
  for (const piece of pieces) target.onDeviceState(piece);
  await target.start();
  return arrival;
}

/**
 * An AssemblyScript program, compiled with its table exported and its memory too, unless options
 * say otherwise.
 */
export async function compile(
  source: string,
  options: readonly string[] = ['--initialMemory', '4'],
): Promise<WebAssembly.Module> {
  let wasm: Uint8Array | undefined;
  const { error, stderr } = await asc.main(
    [
      'program.ts',
      '--runtime',
      'stub',
      '--outFile',
      'program.wasm',
      '--exportTable',
      '--growTable',
      '--use',
      'abort=',
      ...options,
    ],
    {
      readFile: (name: string) => (name === 'program.ts' ? source : null),
      writeFile(name: string, content: string | Uint8Array) {
        if (name === 'program.wasm') wasm = content as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  if (error !== null) throw new Error(stderr.toString());
  return WebAssembly.compile(wasm as BufferSource);
}

/** What a reactor sends beside its memory, piece by piece, as a target gets it. */
export async function piecesOf(
  reactor: Reactor,
  options: Partial<ReactorGuestOptions> = {},
): Promise<DeviceState[]> {
  const pieces: DeviceState[] = [];
  const incoming = await receive({
    uri: 'tcp:127.0.0.1:0',
    inline: true,
    blocks: ({ usedLength }) => new Uint8Array(usedLength),
    onDeviceState: (state) => void pieces.push(state),
  });
  await reactorGuest(reactor, { stop() {}, resume() {}, ...options }).migrate({
    uri: incoming.uri,
    inline: true,
  });
  await incoming.completed;
  return pieces;
}
