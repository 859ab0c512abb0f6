/** The flavors of the deployment (nova-api's flavors table). */
import { DurableObject } from "cloudflare:workers";
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
] as const;

type Row = Pick<Flavor, "flavorid" | "name" | "vcpus" | "ram" | "disk">;

export class Flavors extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
  }

  /** All flavors, by flavorid. */
  list(): Flavor[] {
    return [...this.ctx.storage.sql.exec<Row>("SELECT * FROM flavor ORDER BY flavorid")].map(flavorOf);
  }

  get(flavorid: string): Flavor | null {
    const row = this.ctx.storage.sql.exec<Row>("SELECT * FROM flavor WHERE flavorid = ?", flavorid).toArray()[0];
    return row ? flavorOf(row) : null;
  }
}

function flavorOf(row: Row): Flavor {
  const fixed = { ephemeral: 0, swap: 0, rxtx_factor: 1, is_public: true, disabled: false, description: null };
  return { ...row, ...fixed, extra_specs: {} };
}
