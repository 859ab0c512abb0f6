/** The moves of a project's servers from host to host, running and done (nova/db/main/models.py). */
import { EQUAL, type Migration, type MigrationFilter, type NewMigration } from "./migration.ts";

export const MIGRATION_TABLE = `
  CREATE TABLE migration (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, changed_at TEXT NOT NULL, record TEXT NOT NULL
  );
  CREATE INDEX migration_changed ON migration (changed_at);
  CREATE INDEX migration_server ON migration (record ->> '$.instance_uuid');`;

/** How long a move is remembered after its last change. */
const KEEP_MS = 400 * 24 * 60 * 60 * 1000;

/** Stands for Nova's database id: a number that other projects' moves hardly have, from the uuid's first 31 bits. */
const idFrom = (uuid: string) => Number.parseInt(uuid.slice(0, 8), 16) % 2 ** 31;

/** Writes down what is told of a move; what is older than what is known is dropped, so it may be told again. */
export function saveMigration(sql: SqlStorage, move: NewMigration, now: number): void {
  sql.exec("DELETE FROM migration WHERE changed_at < ?", new Date(now - KEEP_MS).toISOString());
  let id = idFrom(move.uuid);
  const taken = () =>
    sql.exec("SELECT 1 FROM migration WHERE id = ? AND uuid <> ?", id, move.uuid).toArray().length > 0;
  while (taken()) id += 1;
  sql.exec(
    `INSERT INTO migration VALUES (?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE
     SET changed_at = excluded.changed_at, record = excluded.record WHERE excluded.changed_at >= changed_at`,
    id,
    move.uuid,
    move.updated_at ?? move.created_at,
    JSON.stringify(move),
  );
}

/** The moves that match, newest first. */
export function readMigrations(sql: SqlStorage, filter: MigrationFilter): Migration[] {
  const where = ["1"];
  const values: string[] = [];
  const add = (condition: string, value: string | undefined) => {
    if (value === undefined) return;
    where.push(condition);
    values.push(value);
  };
  for (const key of EQUAL) add(`record ->> '$.${key}' = ?`, filter[key]);
  add("(? IN (record ->> '$.source_compute', record ->> '$.dest_compute'))", filter.host);
  add("changed_at >= ?", filter["changes-since"]);
  add("changed_at <= ?", filter["changes-before"]);
  if (filter.hidden !== undefined) where.push(`record ->> '$.hidden' = ${filter.hidden ? 1 : 0}`);
  return sql
    .exec<{ id: number; record: string }>(
      `SELECT id, record FROM migration WHERE ${where.join(" AND ")} ORDER BY record ->> '$.created_at' DESC, id DESC`,
      ...values,
    )
    .toArray()
    .map(({ id, record }) => ({ id, ...(JSON.parse(record) as NewMigration) }));
}
