import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A part of a document that is made of what the tests find. */
export interface DocumentPart {
  /** From the repository's root. */
  document: string;
  /** The lines before and behind the part, whole. */
  begin: string;
  end: string;
  /** What writes it. */
  command: string;
}

/**
 * With MULTIFD_DOCS=write the text goes into the document; in CI the document has to have it
 * already.
 */
export function keepPart({ document, begin, end, command }: DocumentPart, text: string): void {
  const path = fileURLToPath(new URL(`../../${document}`, import.meta.url));
  const whole = readFileSync(path, 'utf8');
  const from = whole.indexOf(begin) + begin.length;
  const to = whole.indexOf(end, from);
  if (process.env['MULTIFD_DOCS'] === 'write') {
    writeFileSync(path, whole.slice(0, from) + text + whole.slice(to));
  } else if (process.env['CI'] === 'true' && whole.slice(from, to) !== text) {
    process.stdout.write(`\n${document} does not say what this run found: ${command}\n${text}\n`);
    process.exitCode = 1;
  }
}
