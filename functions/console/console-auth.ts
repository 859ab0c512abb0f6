/**
 * Which server's console a token is for (nova-consoleauth): a hash, and who gave it. Many share an object, by the first
 * digit of the hash, so that a guess wakes none that was not there, and what somebody gave is found by who it was. What
 * a token gives is the server's `Console`'s to say; in clear it never comes here.
 */
import { DurableObject } from "cloudflare:workers";
import { migrate } from "../store/migrate.ts";
import type { Whose } from "./console-store.ts";
import type { Giver } from "./link.ts";

const MIGRATIONS = [
  `CREATE TABLE token (hash TEXT PRIMARY KEY, expires_at INTEGER NOT NULL, info TEXT NOT NULL) WITHOUT ROWID;
   CREATE INDEX token_expires ON token (expires_at);`,
  // Tokens of before lived for minutes.
  `DROP TABLE token;
   CREATE TABLE token (
     hash TEXT PRIMARY KEY, server TEXT NOT NULL, giver TEXT NOT NULL, forget_at INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX token_forget ON token (forget_at);
   CREATE INDEX token_user ON token (giver ->> '$.user_id');`,
] as const;

/** How much later a token is looked at again whose sessions go on. */
const AGAIN_MS = 86_400_000;

export class ConsoleAuth extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // There are sixteen of them, whatever is guessed.
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Stores whose console the token opens. After `forgetAt` (ms since the epoch) an alarm forgets it. */
  async authorize(hash: string, server: string, giver: Giver, forgetAt: number): Promise<void> {
    this.ctx.storage.sql.exec("INSERT INTO token VALUES (?, ?, ?, ?)", hash, server, JSON.stringify(giver), forgetAt);
    const alarm = await this.ctx.storage.getAlarm();
    if (alarm === null || alarm > forgetAt) await this.ctx.storage.setAlarm(forgetAt);
  }

  /** The server; null when the token was never made, or is forgotten. */
  serverOf(hash: string): string | null {
    const text = "SELECT server FROM token WHERE hash = ?";
    return this.ctx.storage.sql.exec<{ server: string }>(text, hash).toArray()[0]?.server ?? null;
  }

  /** Has what somebody gave taken back, on every server. Done again it changes nothing. */
  async lockOut(whose: Whose): Promise<void> {
    const fields = Object.entries(whose);
    const where = fields.map(([key]) => `giver ->> '$.${key}' = ?`).join(" AND ");
    const values = fields.map(([, value]) => (typeof value === "boolean" ? Number(value) : value));
    const text = `SELECT DISTINCT server FROM token WHERE ${where}`;
    const servers = this.ctx.storage.sql.exec<{ server: string }>(text, ...values).toArray();
    await Promise.all(servers.map(({ server }) => this.env.CONSOLE.getByName(server).lockOut(whose)));
  }

  /** Forgets what is due, but for tokens whose sessions go on: who gave them may still be locked out. */
  override async alarm(): Promise<void> {
    const { sql } = this.ctx.storage;
    const now = Date.now();
    const due = sql.exec<{ hash: string; server: string }>("SELECT hash, server FROM token WHERE forget_at <= ?", now);
    for (const { hash, server } of due.toArray()) {
      if (await this.env.CONSOLE.getByName(server).isInUse(hash)) {
        sql.exec("UPDATE token SET forget_at = ? WHERE hash = ?", now + AGAIN_MS, hash);
      } else sql.exec("DELETE FROM token WHERE hash = ?", hash);
    }
    const { next } = sql.exec<{ next: number | null }>("SELECT min(forget_at) AS next FROM token").one();
    if (next !== null) await this.ctx.storage.setAlarm(next);
  }
}
