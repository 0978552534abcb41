import { moveAll } from './move.js';

let workers = 0;
process.on('worker', () => workers++);

const shared = () => new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
moveAll(['none', 'zlib'], shared).then((moved) => console.log(JSON.stringify({ moved, workers })));
