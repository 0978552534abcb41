/** workerd gives a module for the file. */
declare module 'core.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
