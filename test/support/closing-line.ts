import type { Reporter, TestCase } from 'vitest/node';

/**
 * Ends a run's output with one plain line, for those who read it by program: `N passed, N failed, N
 * skipped`.
 */
export class ClosingLine implements Reporter {
  readonly #counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };

  onTestCaseResult(test: TestCase): void {
    this.#counts[test.result().state]++;
  }

  onTestRunEnd(): void {
    const { passed, failed, skipped } = this.#counts;
    process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  }
}
