/** The keys that agents enrolled with, and the tokens that let one enrol. */
import { err, ok, type Result } from "../result.ts";

export type Enrolment = { join_token_hash: string; host: string; public_key: string };
export type EnrolmentError = "bad_token" | "other_host" | "spent";

export class Agents {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  addJoinToken(hash: string, host: string | null, expiresAt: number): void {
    this.#sql.exec("DELETE FROM join_token WHERE expires_at <= ?", Date.now());
    this.#sql.exec("INSERT INTO join_token VALUES (?, ?, ?, NULL)", hash, host, expiresAt);
  }

  enrol({ join_token_hash, host, public_key }: Enrolment): Result<undefined, EnrolmentError> {
    const token = this.#sql
      .exec<{ host: string | null; expires_at: number; used_by: string | null }>(
        "SELECT host, expires_at, used_by FROM join_token WHERE hash = ?",
        join_token_hash,
      )
      .toArray()[0];
    if (!token || token.expires_at <= Date.now()) return err("bad_token");
    if (token.host !== null && token.host !== host) return err("other_host");
    const claim = `${host} ${public_key}`;
    if (token.used_by !== null) return token.used_by === claim ? ok() : err("spent");
    this.#sql.exec("UPDATE join_token SET used_by = ? WHERE hash = ?", claim, join_token_hash);
    this.#sql.exec("INSERT OR REPLACE INTO agent VALUES (?, ?, ?)", host, public_key, new Date().toISOString());
    return ok();
  }

  remove(host: string): void {
    this.#sql.exec("DELETE FROM agent WHERE host = ?", host);
  }

  key(host: string): string | null {
    const row = this.#sql
      .exec<{ public_key: string }>("SELECT public_key FROM agent WHERE host = ?", host)
      .toArray()[0];
    return row?.public_key ?? null;
  }
}
