export { instantiate, instantiateSync } from '../node/instantiate.ts';
