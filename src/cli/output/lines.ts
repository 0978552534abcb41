/** Lines that a terminal has room for. What goes into a file or a pipe is not broken. */

/** As wide as terminals are that don't say it. */
const USUAL = 80;
/** Of what facts are called. */
const NAME_COLUMNS = 12;

/** Columns of where a stream goes; no limit unless it is a terminal. */
export function columnsOf({ isTTY, columns }: NodeJS.WriteStream): number {
  return isTTY ? columns || USUAL : Number.POSITIVE_INFINITY;
}

/**
 * A text with line breaks between words where a terminal would break it anywhere.
 * @param indent columns before each line but the first.
 */
export function wrapped(text: string, stream: NodeJS.WriteStream, indent = 0): string {
  const room = columnsOf(stream);
  if (text.length <= room) return text;
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line.trim() !== '' && longer.length > room) {
      lines.push(line);
      line = ' '.repeat(indent) + word;
    } else line = longer;
  }
  return [...lines, line].join('\n');
}

/** A line that is cut off where a terminal ends. */
export function cut(line: string, stream: NodeJS.WriteStream): string {
  const room = columnsOf(stream);
  return line.length <= room ? line : `${line.slice(0, room - 3)}...`;
}

/** Names and values, one below the other, each value in as many lines as it takes. */
export function factLines(facts: readonly (readonly [string, string])[]): string[] {
  return facts.map(([name, value]) =>
    wrapped(`${name.padEnd(NAME_COLUMNS)}  ${value}`, process.stdout, NAME_COLUMNS + 2),
  );
}
