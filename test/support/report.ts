import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { JsonReporter } from 'vitest/node';

/** Keeps Vitest's own JSON report in a file, without a word of it: the closing line is the last. */
export class Report extends JsonReporter {
  readonly #path: string;

  constructor(path: string) {
    super({});
    this.#path = path;
  }

  override async writeReport(report: string): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    await writeFile(this.#path, report);
  }
}
