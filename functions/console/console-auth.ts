/**
 * Console tokens by their hashes: what each opens, and until when (nova-consoleauth). Many share an object, by the first
 * digit of the hash, as a database of its own for each would cost ten times what it holds. A token in clear never comes
 * here, and neither do the bytes of a session.
 */
import { DurableObject } from "cloudflare:workers";
import type { VncAddress } from "../protocol/guest.ts";
import { migrate } from "../store/migrate.ts";

/** nova: ConsoleAuthToken. `expires_at` in ms since the epoch. */
export type ConnectInfo = {
  console_type: "novnc";
  server: string;
  project_id: string;
  generation: number;
  /** The server's `screens_ended` when the token was made. */
  screens_ended: number;
  host: string;
  connect: VncAddress;
  expires_at: number;
};

const MIGRATIONS = [
  `CREATE TABLE token (hash TEXT PRIMARY KEY, expires_at INTEGER NOT NULL, info TEXT NOT NULL) WITHOUT ROWID;
   CREATE INDEX token_expires ON token (expires_at);`,
] as const;

export class ConsoleAuth extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // There are sixteen of them, whatever is guessed.
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Stores what the token opens. An alarm forgets it. */
  async authorize(hash: string, info: ConnectInfo): Promise<void> {
    this.ctx.storage.sql.exec("INSERT INTO token VALUES (?, ?, ?)", hash, info.expires_at, JSON.stringify(info));
    const alarm = await this.ctx.storage.getAlarm();
    if (alarm === null || alarm > info.expires_at) await this.ctx.storage.setAlarm(info.expires_at);
  }

  /** What the token opens; null when it was never made, or has expired. */
  info(hash: string): ConnectInfo | null {
    const [row] = this.ctx.storage.sql.exec<{ info: string }>(
      "SELECT info FROM token WHERE hash = ? AND expires_at > ?",
      hash,
      Date.now(),
    );
    return row ? JSON.parse(row.info) : null;
  }

  /** Forgets what has expired. */
  override async alarm(): Promise<void> {
    const { sql } = this.ctx.storage;
    sql.exec("DELETE FROM token WHERE expires_at <= ?", Date.now());
    const { next } = sql.exec<{ next: number | null }>("SELECT min(expires_at) AS next FROM token").one();
    if (next !== null) await this.ctx.storage.setAlarm(next);
  }
}
