import { runSource, runTarget } from './memory-ends.ts';

/** One end of a migration on Node, Deno or Bun: `ends.js source|target OPTIONS`. Prints lines of JSON: where a target listens, and the end's report. */
const [role, options] = process.argv.slice(2) as ['source' | 'target', string];
const print = (value: unknown): void => console.log(JSON.stringify(value));
print(role === 'source' ? await runSource(JSON.parse(options)) : await runTarget(JSON.parse(options), (uri) => print({ uri })));
