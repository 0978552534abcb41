import type { Database, Statement } from 'sql.js';
import type { Machine } from './machine.ts';

/**
 * Bytes of random content in an account; it is there twice, so that SQL can tell whether any of it
 * has changed.
 */
const BODY_BYTES = 480;
/** Bytes of database for each account. */
const ACCOUNT_BYTES = 1024;
const AMOUNT = 1000;
/** How many accounts a transaction reads. */
const READ = 100;
/** The higher, the more of the transfers are between few accounts. */
const SKEW = 8;

/** What is to be true of the rows, whatever was committed last. */
export interface Check {
  name: string;
  expected: string;
  found: string;
}

/**
 * Accounts, and a journal of the transfers between them, in an attached `:memory:` database, all of
 * whose pages are in linear memory. (`main` is a file in JavaScript's hands, and stays empty.)
 *
 * Each transaction reads some accounts, adds a transfer with the next number to the journal, and
 * changes both of its accounts. So the journal says of every account what is in it, and how often
 * it was changed. As in most databases, few rows are busy and most are not: half of all transfers
 * go to 0.4 % of the accounts.
 */
export class Ledger {
  /** How many there are. */
  accounts = 0;
  readonly #database: Database;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #read: Statement;
  readonly #transfer: Statement;
  readonly #change: Statement;
  readonly #bodies = new Uint8Array(64 * BODY_BYTES);
  #nextBody = 0;

  /**
   * Makes all that JavaScript will ever hold of the database: the same at both ends, and before
   * anything else is done with it.
   */
  constructor({ database }: Machine) {
    this.#database = database;
    database.run(`
      ATTACH ':memory:' AS live;
      CREATE TABLE live.account (
        id INTEGER PRIMARY KEY, changes INTEGER NOT NULL, amount INTEGER NOT NULL, body BLOB NOT NULL, copy BLOB NOT NULL
      );
      CREATE TABLE live.transfer (seq INTEGER PRIMARY KEY, payer INTEGER NOT NULL, payee INTEGER NOT NULL, amount INTEGER NOT NULL)`);
    this.#begin = database.prepare('BEGIN');
    this.#commit = database.prepare('COMMIT');
    this.#read = database.prepare(
      'SELECT count(*) FROM live.account WHERE id >= ?1 AND id < ?2 AND body = copy',
    );
    this.#transfer = database.prepare('INSERT INTO live.transfer VALUES (?1, ?2, ?3, ?4)');
    this.#change = database.prepare(
      'UPDATE live.account SET changes = changes + 1, amount = amount + ?2, body = ?3, copy ' +
        '= ?3 WHERE id = ?1',
    );
  }

  /** Opens more accounts, of so many bytes together. */
  fill(bytes: number): void {
    const more = Math.ceil(bytes / ACCOUNT_BYTES);
    this.#database.run(`
      WITH RECURSIVE row(id, body) AS (
        SELECT ${this.accounts + 1}, randomblob(${BODY_BYTES}) UNION ALL SELECT id + 1, randomblob(${BODY_BYTES}) FROM row LIMIT ${more}
      )
      INSERT INTO live.account SELECT id, 0, ${AMOUNT}, body, body FROM row`);
    this.accounts += more;
  }

  /**
   * One transaction, of some 100 microseconds.
   * @param seq the number of its transfer: one more than there are.
   * @throws when it reads what can't be.
   */
  transact(seq: number): void {
    const [payer, payee, amount] = [this.#busy(), this.#busy(), between(1, AMOUNT)];
    this.#begin.run();
    const first = between(1, this.accounts - READ + 2);
    const [read] = this.#read.get([first, first + READ]);
    this.#read.reset();
    if (read !== READ)
      throw new Error(
        `of the accounts from ${first} on, ${READ - Number(read)} of ${READ} are not as they ` +
          'were written',
      );
    this.#transfer.run([seq, payer, payee, amount]);
    this.#change.run([payer, -amount, this.#body()]);
    this.#change.run([payee, amount, this.#body()]);
    this.#commit.run();
  }

  /** @param seq the last transaction's number. */
  verify(seq: number): Check[] {
    const [transfers, first, last] = this.#row(
      'SELECT count(*), min(seq), max(seq) FROM live.transfer',
    );
    const [accounts, amounts, damaged] = this.#row(
      `SELECT count(*), sum(amount), sum(body <> copy OR length(body) <> ${BODY_BYTES}) FROM ` +
        'live.account',
    );
    const [wrong] = this.#row(`
      WITH part(id, amount) AS (SELECT payer, -amount FROM live.transfer UNION ALL SELECT payee, amount FROM live.transfer),
      due(id, changes, amount) AS (SELECT id, count(*), sum(amount) FROM part GROUP BY id)
      SELECT count(*) FROM live.account LEFT JOIN due USING (id)
      WHERE account.changes <> coalesce(due.changes, 0) OR account.amount <> ${AMOUNT} + coalesce(due.amount, 0)`);
    const integrity = this.#database
      .exec('PRAGMA integrity_check')
      .flatMap(({ values }) => values.flat());
    const check = (name: string, expected: unknown, found: unknown): Check => ({
      name,
      expected: String(expected),
      found: String(found),
    });
    return [
      check('PRAGMA integrity_check', 'ok', integrity.join('; ')),
      check('transfers', seq, transfers),
      check('their numbers', `${Math.min(seq, 1)} to ${seq}`, `${first ?? 0} to ${last ?? 0}`),
      check('accounts', this.accounts, accounts),
      check('sum of what is in them', AMOUNT * this.accounts, amounts),
      check('accounts with other changes than the transfers say', 0, wrong),
      check('accounts whose content is not as written', 0, damaged),
    ];
  }

  #row(sql: string): unknown[] {
    return this.#database.exec(sql)[0]!.values[0]!;
  }

  /** Content that nobody has seen before. */
  #body(): Uint8Array {
    if (this.#nextBody === 0) crypto.getRandomValues(this.#bodies);
    const body = this.#bodies.subarray(this.#nextBody, this.#nextBody + BODY_BYTES);
    this.#nextBody = (this.#nextBody + BODY_BYTES) % this.#bodies.length;
    return body;
  }

  #busy(): number {
    return 1 + Math.floor(this.accounts * Math.random() ** SKEW);
  }
}

/** A whole number: at least `least`, and less than `end`. */
function between(least: number, end: number): number {
  return least + Math.floor(Math.random() * (end - least));
}
