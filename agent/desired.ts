/**
 * Which guests should run: what each was left in by the last call that was carried out. After a restart of the host they
 * are started by this record, with the edge or without.
 *
 * The whole record, with the boot of the host that it is of, is signed with the host's own key: a row that is forged or
 * left out, or taken from another host's record or an older one of this, makes all of it worthless. Who has the key may
 * do what the agent may. An old record that is put back whole cannot be told from a new one; so one that no agent has
 * confirmed for MAX_AGE_MS starts nothing, and what it starts before that the edge sets right when it is there.
 */
import type { DatabaseSync } from "node:sqlite";
import type { Outcome } from "../functions/protocol/frames.ts";
import { POWER_STATE } from "../functions/protocol/guest.ts";
import type { Method } from "../functions/protocol/methods.ts";
import type { Signer } from "./identity.ts";

export const DESIRED_TABLES = `
  CREATE TABLE desired (server TEXT PRIMARY KEY, generation INTEGER NOT NULL, should_run INTEGER NOT NULL) STRICT;
  CREATE TABLE seal (
    id INTEGER PRIMARY KEY CHECK (id = 1), boot_id TEXT, at_ms INTEGER NOT NULL, signature BLOB NOT NULL
  ) STRICT;`;

const MAX_AGE_MS = 7 * 24 * 60 * 60 * 1000;
/** What is said of the record's age may be as much too old. */
const CONFIRM_MS = 60 * 60 * 1000;
/** Nothing else that the key signs begins so. */
const PREFIX = "edgenova desired state 1\n";

/** After a failure of these nobody knows what the guest would boot. */
const MAKES: ReadonlySet<Method> = new Set(["spawn", "rebuild", "rescue", "unrescue"] as const);

/** What a call's outcome says of its guest: whether it should run, "gone", or nothing (null). */
export function wanted(method: Method, outcome: Outcome): boolean | "gone" | null {
  if (!outcome.ok) return MAKES.has(method) && outcome.error.code !== "StaleGeneration" ? false : null;
  if (method === "destroy") return "gone";
  const { power_state } = outcome.value;
  return power_state === undefined ? null : power_state === POWER_STATE.RUNNING;
}

export type DesiredParts = {
  db: DatabaseSync;
  signer: Signer;
  /** The Unix time in ms. */
  now(): number;
  /** Runs work in a transaction that is on the disk when this returns. */
  onDisk(work: () => void): void;
};

export class DesiredStates {
  readonly #parts: DesiredParts;
  /** What the record was when it was opened: "broken" is not what this host's key signed, and was thrown away. */
  readonly found: "new" | "good" | "old" | "broken";

  constructor(parts: DesiredParts) {
    this.#parts = parts;
    this.found = this.#check();
    if (this.found === "broken") this.#parts.onDisk(() => this.#forgetAll());
  }

  /** The boot of the host that the record is of; null before one was told. */
  bootId(): string | null {
    return this.#seal()?.boot_id ?? null;
  }

  /** The guests that should run. */
  running(): string[] {
    return this.#rows().flatMap(([server, , should_run]) => (should_run === 1 ? [server] : []));
  }

  shouldRun(server: string): boolean {
    const row = this.#parts.db.prepare("SELECT should_run FROM desired WHERE server = ?").get(server);
    return row?.should_run === 1;
  }

  /** Takes note of a guest. Part of a transaction of the journal's. */
  note(server: string, generation: number, want: boolean | "gone"): void {
    const { db } = this.#parts;
    const known = db.prepare("SELECT generation, should_run FROM desired WHERE server = ?").get(server);
    if (want === "gone") {
      if (known === undefined) return;
      db.prepare("DELETE FROM desired WHERE server = ?").run(server);
    } else {
      const should_run = want ? 1 : 0;
      if (known?.generation === generation && known.should_run === should_run) return;
      db.prepare("INSERT OR REPLACE INTO desired VALUES (?, ?, ?)").run(server, generation, should_run);
    }
    this.#sign(this.bootId());
  }

  /** As `note`, by itself, for what no call did: a guest that is off by its own doing, or was not on record. */
  change(server: string, generation: number, should_run: boolean): void {
    this.#parts.onDisk(() => this.note(server, generation, should_run));
  }

  knows(server: string): boolean {
    return this.#parts.db.prepare("SELECT 1 FROM desired WHERE server = ?").get(server) !== undefined;
  }

  /** From now on the record is of this boot of the host. */
  setBoot(bootId: string): void {
    if (this.bootId() !== bootId) this.#parts.onDisk(() => this.#sign(bootId));
  }

  /** The agent lives and keeps the record: it is as new. */
  confirm(): void {
    const seal = this.#seal();
    if (seal !== null && this.#parts.now() - seal.at_ms < CONFIRM_MS) return;
    this.#parts.onDisk(() => this.#sign(seal?.boot_id ?? null));
  }

  #check(): DesiredStates["found"] {
    const seal = this.#seal();
    const rows = this.#rows();
    if (seal === null) return rows.length === 0 ? "new" : "broken";
    if (!this.#parts.signer.verify(textOf(seal, rows), seal.signature)) return "broken";
    return this.#parts.now() - seal.at_ms > MAX_AGE_MS ? "old" : "good";
  }

  #forgetAll(): void {
    this.#parts.db.exec("DELETE FROM desired; DELETE FROM seal");
  }

  #sign(boot_id: string | null): void {
    const at_ms = this.#parts.now();
    const signature = this.#parts.signer.sign(textOf({ boot_id, at_ms }, this.#rows()));
    this.#parts.db.prepare("INSERT OR REPLACE INTO seal VALUES (1, ?, ?, ?)").run(boot_id, at_ms, signature);
  }

  #seal(): Seal | null {
    const row = this.#parts.db.prepare("SELECT boot_id, at_ms, signature FROM seal").get();
    if (row === undefined) return null;
    const { boot_id, at_ms, signature } = row;
    if (!(signature instanceof Uint8Array)) return null;
    return { boot_id: boot_id === null ? null : String(boot_id), at_ms: Number(at_ms), signature };
  }

  #rows(): Row[] {
    const rows = this.#parts.db.prepare("SELECT server, generation, should_run FROM desired ORDER BY server").all();
    return rows.map((row) => [String(row.server), Number(row.generation), Number(row.should_run)]);
  }
}

type Row = [server: string, generation: number, should_run: number];
type Seal = { boot_id: string | null; at_ms: number; signature: Uint8Array };

function textOf({ boot_id, at_ms }: Pick<Seal, "boot_id" | "at_ms">, rows: readonly Row[]): string {
  return PREFIX + JSON.stringify([boot_id, at_ms, rows]);
}
