export { coreModule } from '../node/core-modules.ts';
