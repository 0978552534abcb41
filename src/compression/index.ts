export {
  COMPRESSIONS,
  type CodecLevels,
  type Compression,
  type Decoder,
  type Encoder,
} from './codec.ts';
