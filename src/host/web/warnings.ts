import type * as node from '../node/warnings.ts';

/**
 * As the platform does it with a listener that throws: by the `error` event of the global scope,
 * and on the console.
 */
export const warn: typeof node.warn = (error) => {
  if (typeof reportError === 'function') reportError(error);
  else console.error(error);
};
