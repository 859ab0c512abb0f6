/**
 * What this agent has been asked and has answered, kept across crashes: the record that makes a call that is sent twice
 * be done once, and a late one not at all.
 *
 *   call:   (none) -- begin --> started -- finish --> finished -- ack --> (none)
 *                                 |  ^
 *                       crash, sent again by the edge: run again, drivers are idempotent
 *
 *   guest:  (none) -- spawn, rebuild --> live(generation) -- destroy --> tombstone(generation)
 *                                          ^                                  | spawn, rebuild of a higher one
 *                                          +----------------------------------+
 *
 * An outcome is stored before it is sent, so the edge never hears two outcomes of one call.
 */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type CallFrame, type Outcome, outcome as outcomeSchema } from "../functions/protocol/frames.ts";
import type { Method } from "../functions/protocol/methods.ts";
import { DESIRED_TABLES, DesiredStates, wanted } from "./desired.ts";
import { describe, diskIsFull, Failure } from "./failure.ts";
import type { Signer } from "./identity.ts";

/** How long a tombstone, or a call that the edge never came back to, is kept. Far above any delay of a frame. */
export const KEEP_MS = 7 * 24 * 60 * 60 * 1000;

/** Append only: the database's user_version counts how many of these have run. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE calls (
     id TEXT PRIMARY KEY, server TEXT NOT NULL, generation INTEGER NOT NULL, method TEXT NOT NULL,
     status TEXT NOT NULL CHECK (status IN ('started', 'finished')), outcome TEXT, at_ms INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE guests (
     server TEXT PRIMARY KEY, generation INTEGER NOT NULL, destroyed_ms INTEGER
   ) STRICT;`,
  DESIRED_TABLES,
];

export type Guest = { generation: number; destroyed: boolean };
/** The part of a call that the journal keeps. */
export type CallKey = Pick<CallFrame, "id" | "server" | "generation" | "method">;

/** Methods that make a guest here, or have one come: whatever was destroyed before is another incarnation. */
const MAKES: ReadonlySet<Method> = new Set([
  "spawn",
  "rebuild",
  "receive_disks",
  "finish_migration",
  "pre_live_migration",
] as const);

/**
 * Whether a call may run, given what is known of its guest, and what is known afterwards.
 * Only MAKES and destroy make a record: another call for an unknown guest is the driver's to refuse.
 */
export function admit(guest: Guest | null, call: { method: Method; generation: number }): Guest | null | "stale" {
  if (guest !== null && call.generation < guest.generation) return "stale";
  if (call.method === "destroy") return { generation: call.generation, destroyed: true };
  if (MAKES.has(call.method)) {
    if (guest?.destroyed === true && call.generation === guest.generation) return "stale";
    return { generation: call.generation, destroyed: false };
  }
  return guest === null || guest.destroyed ? guest : { generation: call.generation, destroyed: false };
}

export class Journal {
  readonly #db: DatabaseSync;
  readonly #now: () => number;
  readonly #statements = new Map<string, StatementSync>();

  readonly desired: DesiredStates;

  /** Opens or makes the journal. Throws `Failure`, also when another agent has it open. `now` is the Unix time in ms. */
  constructor(path: string, signer: Signer, now: () => number = Date.now) {
    this.#now = now;
    this.#db = new DatabaseSync(path, { open: false });
    try {
      // SQLite would make the file readable for all; the -wal file copies the mode of this one.
      closeSync(openSync(path, "a", 0o600));
      this.#db.open();
      // EXCLUSIVE: two agents on one journal would run each other's calls. NORMAL: what is written survives a crash.
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
      this.#migrate();
      const onDisk = (work: () => void) => this.#onDisk(work);
      this.desired = new DesiredStates({ db: this.#db, signer, now, onDisk });
      this.prune();
    } catch (error) {
      if (this.#db.isOpen) this.#db.close();
      throw new Failure(`cannot open ${path}: ${whyNot(error)}`, { cause: error });
    }
  }

  /**
   * Records that the call starts, or why it must not: "stale" when the edge has since moved on to a later generation.
   * A power cut may forget it, and ends the link that any older call could still come on; the edge sends this one again.
   */
  begin(call: CallKey): "started" | "stale" {
    return this.#transaction(() => {
      const before = this.guest(call.server);
      const after = admit(before, call);
      if (after === "stale") return "stale";
      if (after !== null && (after.generation !== before?.generation || after.destroyed !== before.destroyed)) {
        this.#sql(`INSERT OR REPLACE INTO guests (server, generation, destroyed_ms) VALUES (?, ?, ?)`).run(
          call.server,
          after.generation,
          after.destroyed ? this.#now() : null,
        );
      }
      // What a destroy overtakes nobody asks for again, and it would be stale.
      if (call.method === "destroy") {
        this.#sql(`DELETE FROM calls WHERE server = ? AND generation <= ? AND status = 'started'`).run(
          call.server,
          call.generation,
        );
      }
      this.#sql(
        `INSERT OR REPLACE INTO calls (id, server, generation, method, status, at_ms) VALUES (?, ?, ?, ?, 'started', ?)`,
      ).run(call.id, call.server, call.generation, call.method, this.#now());
      return "started";
    });
  }

  /** Stores how a started call ended, and all before it, so that a power cut does not undo it; nothing for a call that is not here. */
  finish(id: string, outcome: Outcome): void {
    this.#onDisk(() => {
      this.#sql(`UPDATE calls SET status = 'finished', outcome = ?, at_ms = ? WHERE id = ? AND status = 'started'`).run(
        JSON.stringify(outcome),
        this.#now(),
        id,
      );
      this.#learn(id, outcome);
      if (!outcome.ok) return;
      // After a lost journal, a guest that obeys a call is known again by that call's generation.
      this.#sql(
        `INSERT OR IGNORE INTO guests (server, generation) SELECT server, generation FROM calls WHERE id = ?`,
      ).run(id);
    });
  }

  /** The outcome of a finished call; null when it has not finished, or was acknowledged. */
  outcome(id: string): Outcome | null {
    const row = this.#sql(`SELECT outcome FROM calls WHERE id = ? AND status = 'finished'`).get(id);
    return row === undefined ? null : outcomeSchema.parse(JSON.parse(String(row.outcome)));
  }

  /** The edge has stored the outcome: forget the call. */
  ack(id: string): void {
    this.#sql(`DELETE FROM calls WHERE id = ? AND status = 'finished'`).run(id);
  }

  /** How many guests there should be. */
  liveGuests(): number {
    return Number(this.#sql(`SELECT count(*) AS count FROM guests WHERE destroyed_ms IS NULL`).get()?.count);
  }

  /** The guests that were destroyed, as far as is remembered. */
  destroyedGuests(): { server: string; generation: number }[] {
    const rows = this.#sql(`SELECT server, generation FROM guests WHERE destroyed_ms IS NOT NULL`).all();
    return rows.map((row) => ({ server: String(row.server), generation: Number(row.generation) }));
  }

  /** Whether no call ever came. */
  isNew(): boolean {
    const row = this.#sql(`SELECT EXISTS (SELECT 1 FROM guests) OR EXISTS (SELECT 1 FROM calls) AS used`).get();
    return row?.used === 0;
  }

  guest(server: string): Guest | null {
    const row = this.#sql(`SELECT generation, destroyed_ms FROM guests WHERE server = ?`).get(server);
    return row === undefined ? null : { generation: Number(row.generation), destroyed: row.destroyed_ms !== null };
  }

  /** Drops what nobody will ask for any more. */
  prune(): void {
    const before = this.#now() - KEEP_MS;
    this.#sql(`DELETE FROM guests WHERE destroyed_ms < ?`).run(before);
    this.#sql(`DELETE FROM calls WHERE at_ms < ?`).run(before);
  }

  close(): void {
    this.#db.close();
  }

  /** What a call's outcome says of whether its guest should run. */
  #learn(id: string, outcome: Outcome): void {
    const call = this.#sql(`SELECT server, generation, method FROM calls WHERE id = ?`).get(id);
    if (call === undefined) return;
    const server = String(call.server);
    const want = wanted(call.method as Method, outcome);
    // A build that failed makes no guest known.
    if (want === null || (want === false && !outcome.ok && !this.desired.knows(server))) return;
    this.desired.note(server, Number(call.generation), want);
  }

  #migrate(): void {
    this.#transaction(() => {
      const done = Number(this.#db.prepare("PRAGMA user_version").get()?.user_version ?? 0);
      for (const sql of MIGRATIONS.slice(done)) this.#db.exec(sql);
      this.#db.exec(`PRAGMA user_version = ${Math.max(done, MIGRATIONS.length)}`);
    });
  }

  /** A transaction that is on the disk when this returns: what was sent on its strength must survive a power cut. */
  #onDisk(work: () => void): void {
    this.#db.exec("PRAGMA synchronous = FULL");
    try {
      this.#transaction(work);
    } finally {
      this.#db.exec("PRAGMA synchronous = NORMAL");
    }
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const statement = this.#db.prepare(text);
    this.#statements.set(text, statement);
    return statement;
  }
}

/** https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

function whyNot(error: unknown): string {
  if (diskIsFull(error)) return "the disk is full: make room, and start the agent again";
  switch (error instanceof Error && "errcode" in error ? error.errcode : undefined) {
    case SQLITE_BUSY:
      return "another agent runs with this state directory";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "it is damaged: move it away, with its -wal file, and start the agent again; the guests run on";
    default:
      return describe(error);
  }
}
