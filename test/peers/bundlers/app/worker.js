import { moveAll } from './move.js';

export default {
  fetch: async () => Response.json(await moveAll(['none', 'zlib'], () => new ArrayBuffer(1 << 22))),
};
