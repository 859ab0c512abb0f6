/** The console sessions of a project's servers, as their consoles tell of them. */
import type { SessionRecord } from "../console/session.ts";

export const CONSOLE_SESSION_TABLE = `
  CREATE TABLE console_session (
    id TEXT PRIMARY KEY, server TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, record TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX console_session_started ON console_session (started_at DESC, id);
  CREATE INDEX console_session_ended ON console_session (ended_at);`;

/** `open`: whether somebody is on it. `limit`: the most that is read. `after`: those that are older than this one. */
export type SessionFilter = {
  server?: string | undefined;
  open?: boolean | undefined;
  after?: { started_at: string; id: string } | undefined;
  limit: number;
};

/** Writes down what is told, and forgets sessions that ended before `endedBefore` (ISO 8601 in UTC). */
export function saveSessions(sql: SqlStorage, records: readonly SessionRecord[], endedBefore: string): void {
  for (const record of records) {
    sql.exec(
      "INSERT OR REPLACE INTO console_session VALUES (?, ?, ?, ?, ?)",
      record.id,
      record.server_id,
      record.started_at,
      record.ended_at,
      JSON.stringify(record),
    );
  }
  sql.exec("DELETE FROM console_session WHERE ended_at < ?", endedBefore);
}

/** Newest first. */
export function readSessions(sql: SqlStorage, { server, open, after, limit }: SessionFilter): SessionRecord[] {
  const where = ["1"];
  const values: string[] = [];
  if (server !== undefined) {
    where.push("server = ?");
    values.push(server);
  }
  if (open !== undefined) where.push(open ? "ended_at IS NULL" : "ended_at IS NOT NULL");
  if (after !== undefined) {
    where.push("(started_at < ? OR (started_at = ? AND id > ?))");
    values.push(after.started_at, after.started_at, after.id);
  }
  const text = `SELECT record FROM console_session WHERE ${where.join(" AND ")} ORDER BY started_at DESC, id LIMIT ?`;
  return sql
    .exec<{ record: string }>(text, ...values, limit)
    .toArray()
    .map(({ record }) => JSON.parse(record));
}

export function findSession(sql: SqlStorage, id: string): SessionRecord | null {
  const [row] = sql.exec<{ record: string }>("SELECT record FROM console_session WHERE id = ?", id);
  return row ? JSON.parse(row.record) : null;
}
