import { runSource, runTarget } from './memory-ends.ts';

/**
 * One end of a migration on Node, Deno or Bun: `ends.js source|target OPTIONS`. Prints lines of
 * JSON: where it listens, if it does, and the end's report.
 */
const [role, text] = process.argv.slice(2) as ['source' | 'target', string];
const print = (value: unknown): void => console.log(JSON.stringify(value));
const onListening = (uri: string): void => print({ uri });
const options = JSON.parse(text);
print(
  role === 'source'
    ? await runSource({ ...options, onListening })
    : await runTarget(options, options.connect ? () => {} : onListening),
);
