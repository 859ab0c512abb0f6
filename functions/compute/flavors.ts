/** The flavors of the deployment (nova-api's flavors, flavor_extra_specs and flavor_projects tables). */
import { DurableObject } from "cloudflare:workers";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import type { Flavor } from "./flavor.ts";

/** Nova's classic five (nova-newton: db sqlalchemy migration 216), so that a new deployment can boot something. */
const MIGRATIONS = [
  `CREATE TABLE flavor (
     flavorid TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, vcpus INTEGER NOT NULL, ram INTEGER NOT NULL,
     disk INTEGER NOT NULL
   ) WITHOUT ROWID;
   INSERT INTO flavor VALUES
     ('1', 'm1.tiny', 1, 512, 1), ('2', 'm1.small', 1, 2048, 20), ('3', 'm1.medium', 2, 4096, 40),
     ('4', 'm1.large', 4, 8192, 80), ('5', 'm1.xlarge', 8, 16384, 160);`,
  `ALTER TABLE flavor ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE flavor ADD COLUMN swap INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE flavor ADD COLUMN rxtx_factor REAL NOT NULL DEFAULT 1;
   ALTER TABLE flavor ADD COLUMN is_public INTEGER NOT NULL DEFAULT 1;
   ALTER TABLE flavor ADD COLUMN description TEXT;
   ALTER TABLE flavor ADD COLUMN extra_specs TEXT NOT NULL DEFAULT '{}';
   CREATE TABLE access (
     flavorid TEXT NOT NULL, project_id TEXT NOT NULL, PRIMARY KEY (flavorid, project_id)
   ) WITHOUT ROWID;`,
] as const;

type Row = Omit<Flavor, "is_public" | "disabled" | "extra_specs"> & { is_public: number; extra_specs: string };
type Absent = { kind: "not_found" };

/** Who looks: an admin sees every flavor, others those that are public or shared with their project. */
export type FlavorViewer = { is_admin: boolean; project_id: string };

export class Flavors extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Flavors by flavorid. `isPublic`: the public ones with what is shared with the viewer, the private ones, or all. */
  list(viewer: FlavorViewer, isPublic: boolean | null): Flavor[] {
    const shared = new Set(
      this.ctx.storage.sql
        .exec<{ flavorid: string }>("SELECT flavorid FROM access WHERE project_id = ?", viewer.project_id)
        .toArray()
        .map((row) => row.flavorid),
    );
    const asked = viewer.is_admin ? isPublic : true;
    const all = [...this.ctx.storage.sql.exec<Row>("SELECT * FROM flavor ORDER BY flavorid")].map(flavorOf);
    if (asked === null) return all;
    return all.filter((flavor) => flavor.is_public === asked || (asked && shared.has(flavor.flavorid)));
  }

  /** The flavor, if the viewer may see it. */
  get(flavorid: string, viewer: FlavorViewer): Flavor | null {
    const flavor = this.#get(flavorid);
    if (flavor === null || flavor.is_public || viewer.is_admin) return flavor;
    return this.access(flavorid).includes(viewer.project_id) ? flavor : null;
  }

  create(flavor: Flavor): Result<Flavor, { kind: "exists"; what: "name" | "ID" }> {
    const { sql } = this.ctx.storage;
    if (this.#get(flavor.flavorid) !== null) return err({ kind: "exists", what: "ID" });
    const named = sql.exec("SELECT 1 FROM flavor WHERE name = ?", flavor.name).toArray();
    if (named.length > 0) return err({ kind: "exists", what: "name" });
    sql.exec(
      `INSERT INTO flavor (flavorid, name, vcpus, ram, disk, ephemeral, swap, rxtx_factor, is_public, description)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      flavor.flavorid,
      flavor.name,
      flavor.vcpus,
      flavor.ram,
      flavor.disk,
      flavor.ephemeral,
      flavor.swap,
      flavor.rxtx_factor,
      flavor.is_public ? 1 : 0,
      flavor.description,
    );
    return ok(flavor);
  }

  describe(flavorid: string, description: string | null): Flavor | null {
    this.ctx.storage.sql.exec("UPDATE flavor SET description = ? WHERE flavorid = ?", description, flavorid);
    return this.#get(flavorid);
  }

  /** Removes the flavor; servers that were made of it keep their copy. Returns whether it was there. */
  remove(flavorid: string): boolean {
    this.ctx.storage.sql.exec("DELETE FROM access WHERE flavorid = ?", flavorid);
    return this.ctx.storage.sql.exec("DELETE FROM flavor WHERE flavorid = ?", flavorid).rowsWritten > 0;
  }

  /** Adds to the extra specs, or replaces those that are there. Returns whether the flavor exists. */
  addSpecs(flavorid: string, specs: Record<string, string>): boolean {
    const flavor = this.#get(flavorid);
    if (flavor !== null) this.#saveSpecs(flavorid, { ...flavor.extra_specs, ...specs });
    return flavor !== null;
  }

  removeSpec(flavorid: string, key: string): Result<undefined, Absent | { kind: "no_such_key" }> {
    const flavor = this.#get(flavorid);
    if (flavor === null) return err({ kind: "not_found" });
    if (!Object.hasOwn(flavor.extra_specs, key)) return err({ kind: "no_such_key" });
    const { [key]: _, ...left } = flavor.extra_specs;
    this.#saveSpecs(flavorid, left);
    return ok();
  }

  /** The projects that a private flavor is shared with. */
  access(flavorid: string): string[] {
    const rows = this.ctx.storage.sql.exec<{ project_id: string }>(
      "SELECT project_id FROM access WHERE flavorid = ? ORDER BY project_id",
      flavorid,
    );
    return [...rows].map((row) => row.project_id);
  }

  /** Shares the flavor with a project; returns whether it was not shared before. */
  share(flavorid: string, project: string): boolean {
    return this.ctx.storage.sql.exec("INSERT OR IGNORE INTO access VALUES (?, ?)", flavorid, project).rowsWritten > 0;
  }

  /** Takes a share back; returns whether there was one. */
  unshare(flavorid: string, project: string): boolean {
    const { sql } = this.ctx.storage;
    return sql.exec("DELETE FROM access WHERE flavorid = ? AND project_id = ?", flavorid, project).rowsWritten > 0;
  }

  #get(flavorid: string): Flavor | null {
    const row = this.ctx.storage.sql.exec<Row>("SELECT * FROM flavor WHERE flavorid = ?", flavorid).toArray()[0];
    return row ? flavorOf(row) : null;
  }

  #saveSpecs(flavorid: string, specs: Record<string, string>): void {
    this.ctx.storage.sql.exec("UPDATE flavor SET extra_specs = ? WHERE flavorid = ?", JSON.stringify(specs), flavorid);
  }
}

function flavorOf(row: Row): Flavor {
  return { ...row, is_public: row.is_public !== 0, disabled: false, extra_specs: JSON.parse(row.extra_specs) };
}
