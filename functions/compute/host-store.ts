/** The tables of a `Host` object. */

import type { Outcome } from "../protocol/frames.ts";
import type { PowerState } from "../protocol/guest.ts";
import type { CallRequest } from "./call.ts";
import type { Resources } from "./claims.ts";

export const MIGRATIONS = [
  `CREATE TABLE allocation (
     server TEXT PRIMARY KEY, generation INTEGER NOT NULL,
     vcpus INTEGER NOT NULL, memory_mb INTEGER NOT NULL, disk_gb INTEGER NOT NULL,
     leaving INTEGER NOT NULL DEFAULT 0, power_state INTEGER NOT NULL DEFAULT 0
   ) WITHOUT ROWID;
   CREATE TABLE call (
     seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, server TEXT NOT NULL, generation INTEGER NOT NULL,
     method TEXT NOT NULL, params TEXT NOT NULL, outcome TEXT
   );
   CREATE INDEX call_server ON call (server);
   CREATE TABLE dismissed (server TEXT PRIMARY KEY, generation INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;`,
  `ALTER TABLE allocation ADD COLUMN built INTEGER NOT NULL DEFAULT 1;
   ALTER TABLE allocation ADD COLUMN image_properties TEXT NOT NULL DEFAULT '{}';`,
  "ALTER TABLE allocation ADD COLUMN interfaces TEXT NOT NULL DEFAULT '[]';",
  `ALTER TABLE allocation ADD COLUMN screen_since INTEGER;
   CREATE TABLE evacuated (server TEXT PRIMARY KEY, done INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE live_migration (seq INTEGER PRIMARY KEY, server TEXT NOT NULL UNIQUE);`,
  `CREATE TABLE resize (
     server TEXT PRIMARY KEY, generation INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0,
     vcpus INTEGER NOT NULL, memory_mb INTEGER NOT NULL, disk_gb INTEGER NOT NULL
   ) WITHOUT ROWID;`,
] as const;

/** How long a dismissed server is remembered, against a claim that was still under way: far longer than any RPC. */
const DISMISSED_KEEP_MS = 60 * 60 * 1000;

export type Allocation = Resources & {
  server: string;
  generation: number;
  leaving: number;
  power_state: PowerState;
  /** What its server was told last of the guest's interfaces, as JSON. */
  interfaces: string;
  /** The incarnation that its guest's screen began with, where that came from another host; null: this one. */
  screen_since: number | null;
};

/**
 * What a server had before it was resized here (in Placement its migration has it), and the incarnation that was claimed
 * for. One that has ended is kept against a claim that was still under way.
 */
export type Resize = Resources & { server: string; generation: number; ended: number };
/** What is left of a resize when it is over. */
export type Size = "old" | "new";

/** Nova's own of an image. */
type Properties = Record<string, string>;
type CallRow = CallRequest & { outcome: Outcome | null };
type CallColumns = {
  id: string;
  server: string;
  generation: number;
  method: CallRequest["method"];
  params: string;
  outcome: string | null;
};

const callOf = (row: CallColumns): CallRow => ({
  ...row,
  params: JSON.parse(row.params),
  outcome: row.outcome === null ? null : JSON.parse(row.outcome),
});

export class HostStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  allocation(server: string): Allocation | null {
    return this.#sql.exec<Allocation>("SELECT * FROM allocation WHERE server = ?", server).toArray()[0] ?? null;
  }

  allocations(): Allocation[] {
    return this.#sql.exec<Allocation>("SELECT * FROM allocation").toArray();
  }

  /** The sum of all claims, those that are leaving too, and both sizes of what is being resized here. */
  used(): Resources & { instances: number } {
    return this.#sql
      .exec<Resources & { instances: number }>(
        `SELECT coalesce(sum(vcpus), 0) AS vcpus, coalesce(sum(memory_mb), 0) AS memory_mb,
                coalesce(sum(disk_gb), 0) AS disk_gb, (SELECT count(*) FROM allocation) AS instances
         FROM (SELECT vcpus, memory_mb, disk_gb FROM allocation
               UNION ALL SELECT vcpus, memory_mb, disk_gb FROM resize WHERE ended = 0)`,
      )
      .one();
  }

  resize(server: string): Resize | null {
    return this.#sql.exec<Resize>("SELECT * FROM resize WHERE server = ?", server).toArray()[0] ?? null;
  }

  /** Gives the server another size, and keeps the one that it has. */
  beginResize(server: string, generation: number, { vcpus, memory_mb, disk_gb }: Resources): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO resize (server, generation, vcpus, memory_mb, disk_gb)
       SELECT server, ?, vcpus, memory_mb, disk_gb FROM allocation WHERE server = ?`,
      generation,
      server,
    );
    this.#resizeTo(server, { vcpus, memory_mb, disk_gb });
  }

  /** Gives one of the two sizes up. What is claimed late for this incarnation, or an earlier one, begins no other. */
  endResize(server: string, keep: Size, generation: number): void {
    const begun = this.resize(server);
    if (begun?.ended === 0 && begun.generation <= generation && keep === "old") this.#resizeTo(server, begun);
    this.#sql.exec(
      `INSERT INTO resize (server, generation, ended, vcpus, memory_mb, disk_gb)
       SELECT server, ?1, 1, 0, 0, 0 FROM allocation WHERE server = ?2
       ON CONFLICT (server) DO UPDATE SET generation = ?1, ended = 1 WHERE generation <= ?1`,
      generation,
      server,
    );
  }

  #resizeTo(server: string, { vcpus, memory_mb, disk_gb }: Resources): void {
    this.#sql.exec(
      "UPDATE allocation SET vcpus = ?, memory_mb = ?, disk_gb = ? WHERE server = ?",
      vcpus,
      memory_mb,
      disk_gb,
      server,
    );
  }

  /**
   * Guests that are being made, by claims whose guest was not seen yet, and those that are made anew or copied: elsewhere,
   * or here by a resize that stays.
   */
  ioOps(): number {
    return this.#sql
      .exec<{ count: number }>(
        `SELECT (SELECT count(*) FROM allocation WHERE built = 0 AND leaving = 0) +
                (SELECT count(*) FROM call JOIN allocation USING (server) WHERE outcome IS NULL
                 AND (built = 1 AND method = 'receive_disks' OR method IN ('rebuild', 'snapshot', 'upload_snapshot', 'send_disks', 'live_migration'))) AS count`,
      )
      .one().count;
  }

  /** How many servers here have each property of an image, by `name=value`. */
  imageProperties(): Record<string, number> {
    const rows = this.#sql.exec<{ property: string; count: number }>(
      `SELECT key || '=' || value AS property, count(*) AS count FROM allocation, json_each(image_properties) GROUP BY 1`,
    );
    return Object.fromEntries([...rows].map(({ property, count }) => [property, count]));
  }

  allocate(
    server: string,
    generation: number,
    claimed: Resources & { image_properties?: Properties; screen_since?: number },
  ): void {
    this.#sql.exec(
      `INSERT INTO allocation (server, generation, vcpus, memory_mb, disk_gb, built, image_properties, screen_since)
       VALUES (?, ?, ?, ?, ?, 0, ?, ?)`,
      server,
      generation,
      claimed.vcpus,
      claimed.memory_mb,
      claimed.disk_gb,
      JSON.stringify(claimed.image_properties ?? {}),
      claimed.screen_since ?? null,
    );
  }

  setPower(server: string, generation: number, powerState: PowerState): void {
    this.#sql.exec(
      `UPDATE allocation SET power_state = ?1, built = 1,
         screen_since = CASE WHEN generation = ?2 THEN screen_since END, generation = ?2 WHERE server = ?3`,
      powerState,
      generation,
      server,
    );
  }

  /** The guest's interfaces, as JSON, once its server has taken them. */
  setInterfaces(server: string, interfaces: string): void {
    this.#sql.exec("UPDATE allocation SET interfaces = ? WHERE server = ?", interfaces, server);
  }

  setLeaving(server: string): void {
    this.#sql.exec("UPDATE allocation SET leaving = 1 WHERE server = ?", server);
  }

  /** Takes `setLeaving` back. */
  stay(server: string): void {
    this.#sql.exec("UPDATE allocation SET leaving = 0 WHERE server = ? AND leaving = 1", server);
  }

  /** Forgets the server up to this incarnation: its claim and its calls. A later one's are not of the guest that ended. */
  free(server: string, generation: number): void {
    this.#sql.exec("DELETE FROM allocation WHERE server = ? AND generation <= ?", server, generation);
    this.#sql.exec("DELETE FROM call WHERE server = ? AND generation <= ?", server, generation);
    this.#sql.exec("DELETE FROM resize WHERE server = ? AND server NOT IN (SELECT server FROM allocation)", server);
  }

  call(id: string): CallRow | null {
    const row = this.#sql.exec<CallColumns>("SELECT * FROM call WHERE id = ?", id).toArray()[0];
    return row ? callOf(row) : null;
  }

  /** Calls without an outcome, oldest first. */
  openCalls(): CallRow[] {
    const rows = this.#sql.exec<CallColumns>("SELECT * FROM call WHERE outcome IS NULL ORDER BY seq");
    return rows.toArray().map(callOf);
  }

  openCallsOf(server: string): CallRow[] {
    const rows = this.#sql.exec<CallColumns>("SELECT * FROM call WHERE server = ? AND outcome IS NULL", server);
    return rows.toArray().map(callOf);
  }

  /** Adds a call. The server's settled ones are over: a saga asks one thing at a time. */
  addCall(call: CallRequest): void {
    this.#sql.exec("DELETE FROM call WHERE server = ? AND outcome IS NOT NULL", call.server);
    this.#sql.exec(
      "INSERT INTO call (id, server, generation, method, params) VALUES (?, ?, ?, ?, ?)",
      call.id,
      call.server,
      call.generation,
      call.method,
      JSON.stringify(call.params),
    );
  }

  /** Keeps the outcome. What was asked for is forgotten: there may be a password in it. */
  settleCall(id: string, outcome: Outcome): void {
    this.#sql.exec("UPDATE call SET outcome = ?, params = 'null' WHERE id = ?", JSON.stringify(outcome), id);
  }

  dropCall(id: string): void {
    this.#sql.exec("DELETE FROM call WHERE id = ?", id);
  }

  dismiss(server: string, generation: number, now: number): void {
    this.#sql.exec("DELETE FROM dismissed WHERE at < ?", now - DISMISSED_KEEP_MS);
    this.#sql.exec("INSERT OR REPLACE INTO dismissed VALUES (?, ?, ?)", server, generation, now);
  }

  /** Queues the server's live migration, once. */
  queue(server: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO live_migration (server) VALUES (?)", server);
  }

  unqueue(server: string): void {
    this.#sql.exec("DELETE FROM live_migration WHERE server = ?", server);
  }

  /** The servers whose live migrations are queued, the longest first. */
  queued(): string[] {
    const rows = this.#sql.exec<{ server: string }>("SELECT server FROM live_migration ORDER BY seq");
    return [...rows].map(({ server }) => server);
  }

  /** A server is being evacuated, or was: then it has to be told when its guest is gone from here. */
  setEvacuated(server: string, done: boolean): void {
    this.#sql.exec("INSERT OR REPLACE INTO evacuated VALUES (?, ?)", server, done ? 1 : 0);
  }

  forgetEvacuated(server: string): void {
    this.#sql.exec("DELETE FROM evacuated WHERE server = ?", server);
  }

  evacuated(): { server: string; done: number }[] {
    return this.#sql.exec<{ server: string; done: number }>("SELECT server, done FROM evacuated").toArray();
  }

  /** Whether this or a later incarnation of the server was sent away. */
  isDismissed(server: string, generation: number): boolean {
    const row = this.#sql
      .exec<{ generation: number }>("SELECT generation FROM dismissed WHERE server = ?", server)
      .toArray()[0];
    return row !== undefined && row.generation >= generation;
  }
}
