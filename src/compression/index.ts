export type { CodecLevels, Decoder } from './codec.ts';
export {
  checkCompression,
  COMPRESSIONS,
  createDecoder,
  createEncoder,
  METHODS,
  type Compression,
  type MethodName,
  type MethodRow,
} from './methods.ts';
