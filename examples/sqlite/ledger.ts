import { randomFillSync, randomInt } from 'node:crypto';
import type { Database, Statement } from 'sql.js';
import type { Machine } from './machine.ts';

/** Bytes of random content in a row; it is there twice, so that SQL can tell whether any of it has changed. */
const BODY_BYTES = 480;
/** Bytes of database for each row of the first filling. */
const ROW_BYTES = 1024;
const AMOUNT = 100;

/** What is to be true of the rows, whatever was committed last. */
export interface Check {
  name: string;
  expected: string;
  found: string;
}

/**
 * A table of entries in an attached `:memory:` database, all of whose pages are in linear memory. (`main` is a file in JavaScript's hands, and stays empty.)
 *
 * Each transaction adds an entry with the next number, and moves an amount from one older entry to another. So the numbers have no gap, the amounts' sum
 * stays what it was, and the versions' sum is two for each transaction.
 */
export class Ledger {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #bodies = new Uint8Array(64 * BODY_BYTES);
  #next = 0;

  /** Makes what JavaScript will ever hold of the database: the same at both ends, and before anything else is done with it. */
  constructor({ database }: Machine) {
    this.#database = database;
    database.run(`
      ATTACH ':memory:' AS live;
      CREATE TABLE live.entry (
        seq INTEGER PRIMARY KEY, version INTEGER NOT NULL, amount INTEGER NOT NULL, body BLOB NOT NULL, copy BLOB NOT NULL
      )`);
    this.#begin = database.prepare('BEGIN');
    this.#commit = database.prepare('COMMIT');
    this.#insert = database.prepare('INSERT INTO live.entry VALUES (?1, 0, 0, ?2, ?2)');
    this.#update = database.prepare('UPDATE live.entry SET version = version + 1, amount = amount + ?2, body = ?3, copy = ?3 WHERE seq = ?1');
  }

  /** Adds rows of so many bytes together. @returns how many. */
  fill(bytes: number): number {
    const rows = Math.ceil(bytes / ROW_BYTES);
    this.#database.run(`
      WITH RECURSIVE row(seq, body) AS (
        SELECT 1, randomblob(${BODY_BYTES}) UNION ALL SELECT seq + 1, randomblob(${BODY_BYTES}) FROM row LIMIT ${rows}
      )
      INSERT INTO live.entry SELECT seq, 0, ${AMOUNT}, body, body FROM row`);
    return rows;
  }

  /** One transaction. @param seq the number of its entry: one more than there are. */
  transact(seq: number): void {
    const amount = randomInt(1, AMOUNT);
    this.#begin.run();
    this.#insert.run([seq, this.#body()]);
    this.#update.run([this.#older(seq), -amount, this.#body()]);
    this.#update.run([this.#older(seq), amount, this.#body()]);
    this.#commit.run();
  }

  /** @param filled rows of the first filling. @param seq the last transaction's number. */
  verify(filled: number, seq: number): Check[] {
    const [result] = this.#database.exec('SELECT count(*), min(seq), max(seq), sum(version), sum(amount), sum(body <> copy OR length(body) <> ?) FROM live.entry', [BODY_BYTES]);
    const [count, first, last, versions, amounts, damaged] = result!.values[0]!;
    const integrity = this.#database.exec('PRAGMA integrity_check').flatMap(({ values }) => values.flat());
    const check = (name: string, expected: unknown, found: unknown): Check => ({ name, expected: String(expected), found: String(found) });
    return [
      check('PRAGMA integrity_check', 'ok', integrity.join('; ')),
      check('rows', seq, count),
      check('numbers, without a gap', `1 to ${seq}`, `${first} to ${last}`),
      check('versions, two for each transaction', 2 * (seq - filled), versions),
      check('sum of all amounts', AMOUNT * filled, amounts),
      check('rows that are not as written', 0, damaged),
    ];
  }

  /** Content that nobody has seen before. */
  #body(): Uint8Array {
    if (this.#next === 0) randomFillSync(this.#bodies);
    const body = this.#bodies.subarray(this.#next, this.#next + BODY_BYTES);
    this.#next = (this.#next + BODY_BYTES) % this.#bodies.length;
    return body;
  }

  #older(seq: number): number {
    return randomInt(1, seq);
  }
}
