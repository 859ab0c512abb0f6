/** Who may not give consoles any more, until everybody has heard of it. */
import type { Whose } from "../console/console-store.ts";

export const LOCK_OUT_TABLE = "CREATE TABLE lock_out (seq INTEGER PRIMARY KEY AUTOINCREMENT, whose TEXT NOT NULL);";

export class LockOuts {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(whose: Whose): void {
    this.#sql.exec("INSERT INTO lock_out (whose) VALUES (?)", JSON.stringify(whose));
  }

  /** Oldest first. */
  list(): { seq: number; whose: Whose }[] {
    return this.#sql
      .exec<{ seq: number; whose: string }>("SELECT seq, whose FROM lock_out ORDER BY seq")
      .toArray()
      .map(({ seq, whose }) => ({ seq, whose: JSON.parse(whose) }));
  }

  done(seq: number): void {
    this.#sql.exec("DELETE FROM lock_out WHERE seq = ?", seq);
  }
}
