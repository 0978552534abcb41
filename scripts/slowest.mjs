import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

// Prints the tests that took longest in the last run, the longest first: seconds, file, name.
// `node scripts/slowest.mjs [REPORT]`, a JSON report of Vitest; each run of the tests leaves one.

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const COUNT = 60;

const [report = `${ROOT}node_modules/.cache/multifd-tests.json`] = process.argv.slice(2);
const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
const tests = testResults.flatMap(({ name, assertionResults }) =>
  assertionResults.map(({ fullName, duration }) => ({
    duration: duration ?? 0, // what was skipped has none
    what: `${relative(ROOT, name)}  ${fullName}`,
  })),
);
tests.sort((a, b) => b.duration - a.duration);
for (const { duration, what } of tests.slice(0, COUNT)) {
  console.log(`${(duration / 1000).toFixed(1).padStart(6)} s  ${what}`);
}
