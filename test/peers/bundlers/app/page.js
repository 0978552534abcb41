import { moveAll } from './move.js';

let workers = 0;
globalThis.Worker = class extends globalThis.Worker {
  constructor(...options) {
    super(...options);
    workers++;
  }
};

const shared = () => new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
globalThis.said = moveAll(['none', 'zlib', 'zstd'], shared).then((moved) => ({ moved, workers }));
