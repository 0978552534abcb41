import type { Database, SqlValue } from 'sql.js';

const MOST_ROWS = 200;
const MOST_BLOB_BYTES = 16;

/** What a question was answered with, as text. */
export interface Answer {
  columns: string[];
  rows: string[][];
  /** There are more rows than these. */
  more: boolean;
}

/** @throws when it is not one question, or SQLite does not understand it. */
export function ask(database: Database, sql: string): Answer {
  // Others could leave a transaction open, take the tables from the writer, or open a file, which
  // is in JavaScript's hands and can't be moved.
  if (!/^\s*(select|with|values|explain)\b/i.test(sql))
    throw new Error('ask with SELECT, WITH, VALUES or EXPLAIN: only the writer writes');
  database.run('PRAGMA query_only = 1');
  try {
    return answer(database, sql);
  } finally {
    database.run('PRAGMA query_only = 0');
  }
}

function answer(database: Database, sql: string): Answer {
  const statement = database.prepare(sql);
  try {
    const rows: string[][] = [];
    let more = statement.step();
    for (; more && rows.length < MOST_ROWS; more = statement.step())
      rows.push(statement.get().map(text));
    return { columns: statement.getColumnNames(), rows, more };
  } finally {
    statement.free();
  }
}

function text(value: SqlValue): string {
  if (value === null) return 'NULL';
  if (!(value instanceof Uint8Array)) return String(value);
  const hex = Array.from(value.subarray(0, MOST_BLOB_BYTES), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  return value.length <= MOST_BLOB_BYTES ? `x'${hex}'` : `x'${hex}…' (${value.length} bytes)`;
}
