/** A project's servers, as lists show them: those that are, and for a time those that are gone. */
import type { ServerRecord } from "../conductor/record.ts";
import { type Asked, passes } from "./filters.ts";
import { isFull, type ListQuery, type PackedPage, pageSql } from "./listing.ts";

/** `deleted` was a tombstone alone; from here on it has a last word. Lists come newest first, unless they are asked for otherwise. */
export const INDEX_TABLES = `
  ALTER TABLE deleted ADD COLUMN record TEXT;
  CREATE INDEX deleted_at ON deleted (at);
  CREATE INDEX server_created ON server (record ->> '$.created_at' DESC, uuid);`;

/**
 * How long a server that is gone is listed to those who ask for such. Nova keeps it until an operator archives it.
 * A late word must not bring its row back, and travels far shorter.
 */
const DELETED_KEEP_MS = 30 * 24 * 60 * 60 * 1000;

/** Remembers a server that is gone, and forgets those that went long ago. */
export function keepDeleted(sql: SqlStorage, record: ServerRecord, now: number): void {
  sql.exec("DELETE FROM deleted WHERE at < ?", now - DELETED_KEEP_MS);
  sql.exec("INSERT OR REPLACE INTO deleted VALUES (?, ?, ?)", record.uuid, now, JSON.stringify(record));
}

export function isDeleted(sql: SqlStorage, uuid: string): boolean {
  return sql.exec("SELECT 1 FROM deleted WHERE uuid = ?", uuid).toArray().length > 0;
}

/** One server's record, be it gone; null when the project never had it. */
export function findServer(sql: SqlStorage, uuid: string): ServerRecord | null {
  const row = sql.exec<Row>(`SELECT uuid, record FROM ${SOURCE.both} WHERE uuid = ?`, uuid).toArray()[0];
  return row ? read(row) : null;
}

/** The page after `after`. Rows are read in order, and no further than the page is long. */
export function readPage(sql: SqlStorage, query: ListQuery, after: ServerRecord | null): PackedPage {
  const { filters, sort, limit, deleted = false } = query;
  const page = pageSql(sort, after);
  const from = SOURCE[deleted === "both" ? "both" : deleted ? "deleted" : "alive"];
  // What no filter looks at is not parsed.
  const stop = filters.length === 0 ? ` LIMIT ${Math.trunc(limit)}` : "";
  const rows = sql.exec<{ record: string }>(`SELECT record FROM ${from} ${page.sql}${stop}`, ...page.bound);
  const servers = filters.length === 0 ? rows.toArray() : limit === 0 ? [] : passing(rows, filters, limit);
  return { servers: `[${servers.map(({ record }) => record).join()}]`, full: isFull(servers, limit) };
}

function passing<R extends { record: string }>(rows: Iterable<R>, filters: readonly Asked[], limit: number): R[] {
  const servers: R[] = [];
  for (const row of rows) if (passes(JSON.parse(row.record), filters) && servers.push(row) === limit) break;
  return servers;
}

type Row = { uuid: string; record: string };
const SOURCE = {
  alive: "server",
  deleted: "(SELECT uuid, record FROM deleted WHERE record IS NOT NULL)",
  both: "(SELECT uuid, record FROM server UNION ALL SELECT uuid, record FROM deleted WHERE record IS NOT NULL)",
} as const;

const read = ({ record }: Row): ServerRecord => JSON.parse(record);
