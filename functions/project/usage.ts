/** What servers took over a time, alive or deleted (nova: simple_tenant_usage.py). Pure but for the tables' texts. */
import type { ServerRecord } from "../conductor/record.ts";

/** Deleted servers that had been launched. Times are ISO 8601 in UTC with milliseconds, so that their order is text's. */
export const USAGE_TABLES = `
  CREATE TABLE usage (
    uuid TEXT PRIMARY KEY, name TEXT NOT NULL, flavor TEXT NOT NULL, vcpus INTEGER NOT NULL, ram INTEGER NOT NULL,
    disk INTEGER NOT NULL, launched_at TEXT NOT NULL, terminated_at TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX usage_terminated ON usage (terminated_at);`;

/** How long a deleted server is remembered: a year's report can be asked for until a month after it. */
const KEEP_MS = 400 * 24 * 60 * 60 * 1000;

export type ServerUsage = {
  uuid: string;
  name: string;
  flavor: string;
  vcpus: number;
  /** MiB. */
  ram: number;
  /** GiB, root and ephemeral. */
  disk: number;
  launched_at: string;
  terminated_at: string | null;
  state: string;
};

/** Keeps what is needed of a server that is gone, and forgets those that went long ago. */
export function keepUsage(sql: SqlStorage, record: ServerRecord, now: number): void {
  sql.exec("DELETE FROM usage WHERE terminated_at < ?", new Date(now - KEEP_MS).toISOString());
  const { uuid, display_name, flavor, launched_at, terminated_at } = record;
  if (launched_at === null) return;
  sql.exec(
    "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    uuid,
    display_name,
    flavor.name,
    flavor.vcpus,
    flavor.ram,
    flavor.disk + flavor.ephemeral,
    launched_at,
    terminated_at ?? new Date(now).toISOString(),
  );
}

/** Servers that ran at some time from `start` to `end`, by uuid. No server is woken. */
export function readUsage(sql: SqlStorage, start: string, end: string): ServerUsage[] {
  return sql
    .exec<ServerUsage>(
      `SELECT uuid, record ->> 'display_name' AS name, record ->> '$.flavor.name' AS flavor,
         record ->> '$.flavor.vcpus' AS vcpus, record ->> '$.flavor.ram' AS ram,
         (record ->> '$.flavor.disk') + (record ->> '$.flavor.ephemeral') AS disk,
         record ->> 'launched_at' AS launched_at, NULL AS terminated_at, record ->> 'vm_state' AS state
       FROM server WHERE record ->> 'launched_at' < ?2
       UNION ALL
       SELECT uuid, name, flavor, vcpus, ram, disk, launched_at, terminated_at, 'terminated' AS state
       FROM usage WHERE terminated_at > ?1 AND launched_at < ?2
       ORDER BY uuid`,
      start,
      end,
    )
    .toArray();
}

/** Hours that the server ran between `start` and `end`, both in ms since the epoch. */
export function hoursWithin({ launched_at, terminated_at }: ServerUsage, start: number, end: number): number {
  const from = Math.max(Date.parse(launched_at), start);
  const to = terminated_at === null ? end : Math.min(Date.parse(terminated_at), end);
  return Math.max(0, to - from) / 3_600_000;
}
