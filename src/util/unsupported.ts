import { MultifdError } from './errors.ts';

/** For what there is on Node, Deno and Bun only. @param what a plural, such as `files`. */
export function unsupported(what: string): never {
  throw new MultifdError(
    'ERR_UNSUPPORTED',
    `there are no ${what} in this runtime: only the entry for Node, Deno and Bun has them`,
  );
}
