/**
 * Log-ins that have not succeeded, by who was named and from which address: a sliding window. Only the pair is
 * stopped, so that a stranger's guesses never keep the user himself out; guesses from one address at many users,
 * or from anywhere at high rate, are AUTH_RATE's, which counts addresses alone.
 */

/** Milliseconds that an attempt counts. */
const WINDOW_MS = 5 * 60_000;
/** Attempts of one pair in a window. */
export const MAX_ATTEMPTS = 10;

export class Attempts {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /**
   * Counts an attempt before its password is looked at, so that many at once count as many. Returns the seconds to
   * wait when there were too many; an attempt that is refused is not counted.
   */
  begin(who: string, address: string, now: number): number | null {
    this.#sql.exec("DELETE FROM attempt WHERE at <= ?", now - WINDOW_MS);
    const counted = this.#sql
      .exec<{ count: number; first: number | null }>(
        "SELECT COUNT(*) AS count, MIN(at) AS first FROM attempt WHERE who = ? AND address = ?",
        who,
        address,
      )
      .one();
    if (counted.count >= MAX_ATTEMPTS) return Math.ceil(((counted.first ?? now) + WINDOW_MS - now) / 1000);
    this.#sql.exec("INSERT INTO attempt VALUES (?, ?, ?)", who, address, now);
    return null;
  }

  /** A log-in succeeded: the pair's slate is clean. */
  succeeded(who: string, address: string): void {
    this.#sql.exec("DELETE FROM attempt WHERE who = ? AND address = ?", who, address);
  }
}
