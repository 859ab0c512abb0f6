/** The key pairs of one user (nova-api's key_pairs table). Only public halves are kept. */
import { DurableObject } from "cloudflare:workers";
import { err, ok, type Result } from "../result.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";

const MIGRATIONS = [
  `CREATE TABLE keypair (
     id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
     public_key TEXT NOT NULL, fingerprint TEXT NOT NULL, created_at TEXT NOT NULL
   );`,
] as const;

export type NewKeypair = { name: string; type: "ssh" | "x509"; public_key: string; fingerprint: string };
export type Keypair = NewKeypair & { id: number; created_at: string };

export class Keypairs extends DurableObject<Env> {
  #exists: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#exists = migrateExisting(ctx.storage, MIGRATIONS);
  }

  /** All of them, by name. */
  list(): Keypair[] {
    return this.#exists ? this.ctx.storage.sql.exec<Keypair>("SELECT * FROM keypair ORDER BY name").toArray() : [];
  }

  get(name: string): Keypair | null {
    if (!this.#exists) return null;
    return this.ctx.storage.sql.exec<Keypair>("SELECT * FROM keypair WHERE name = ?", name).toArray()[0] ?? null;
  }

  /** @param limit how many the user may have; -1 is no limit */
  create(pair: NewKeypair, limit: number): Result<Keypair, { kind: "over_quota" } | { kind: "exists" }> {
    migrate(this.ctx.storage, MIGRATIONS);
    this.#exists = true;
    if (limit !== -1 && this.list().length >= limit) return err({ kind: "over_quota" });
    if (this.get(pair.name) !== null) return err({ kind: "exists" });
    const made = this.ctx.storage.sql.exec<Keypair>(
      "INSERT INTO keypair (name, type, public_key, fingerprint, created_at) VALUES (?, ?, ?, ?, ?) RETURNING *",
      pair.name,
      pair.type,
      pair.public_key,
      pair.fingerprint,
      new Date().toISOString(),
    );
    return ok(made.one());
  }

  /** Returns whether it was there. */
  remove(name: string): boolean {
    if (this.get(name) === null) return false;
    this.ctx.storage.sql.exec("DELETE FROM keypair WHERE name = ?", name);
    return true;
  }
}
