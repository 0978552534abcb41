/**
 * The types of WebAssembly's own objects as public declarations name them: those of the program's
 * `lib` where it has them, and else what is used of them. A program for Node without `dom` has no
 * namespace `WebAssembly`, and what names it there would take anything.
 */
type Instance<Name extends string, Otherwise> = typeof globalThis extends {
  WebAssembly: { readonly [N in Name]: { readonly prototype: infer Own } };
}
  ? Own
  : Otherwise;

export type WasmMemory = Instance<
  'Memory',
  { readonly buffer: ArrayBuffer | SharedArrayBuffer; grow(pages: number): number }
>;
/** Compiled code. It has no members of its own that could be told apart. */
export type WasmModule = Instance<'Module', object>;
export type WasmInstance = Instance<'Instance', { readonly exports: Record<string, unknown> }>;
export type WasmGlobal = Instance<'Global', { value: unknown; valueOf(): unknown }>;
export type WasmTable = Instance<'Table', { readonly length: number; get(index: number): unknown }>;
