/** A project's limits, its users' own, and what its servers use: the quota part of a `Project` object's tables. */
import { type Bound, entriesOf, type Limits, type Resource, type Usage } from "./quota.ts";

/** `user_id` '' is the project itself. */
export const QUOTA_TABLES = `
  CREATE TABLE quota (
    user_id TEXT NOT NULL, resource TEXT NOT NULL, hard_limit INTEGER NOT NULL, PRIMARY KEY (user_id, resource)
  ) WITHOUT ROWID;
  ALTER TABLE server ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
  UPDATE server SET user_id = record ->> 'user_id';`;

/**
 * What each server is charged with is in its row: `counted` instances, `vcpus`, `ram`; and in `more_…` what was kept
 * aside for it to grow, until `more_until` (ms since the epoch) or until its record says that it has grown.
 */
export const CHARGE_COLUMNS = `
  ALTER TABLE server ADD COLUMN counted INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE server ADD COLUMN more_counted INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE server ADD COLUMN more_vcpus INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE server ADD COLUMN more_ram INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE server ADD COLUMN more_until INTEGER;
  CREATE INDEX server_more ON server (more_until) WHERE more_until IS NOT NULL;`;

/** The limits of the quota class `default` as a project has them; a higher version is a later word. */
export type ClassLimits = { version: number; limits: Partial<Limits> };
const CLASS = "quota_class";

/** Of servers that have left `building`; and of those that still stand on their reservation, and of what is kept aside. */
export type SplitUsage = { in_use: Usage; reserved: Usage };

export class QuotaStore {
  readonly #sql: SqlStorage;
  readonly #kv: SyncKvStorage;

  constructor({ sql, kv }: DurableObjectStorage) {
    this.#sql = sql;
    this.#kv = kv;
  }

  /** The class as it was last heard of; undefined before the first time. */
  classLimits(): ClassLimits | undefined {
    return this.#kv.get<ClassLimits>(CLASS);
  }

  takeClass(told: ClassLimits): void {
    if (told.version > (this.classLimits()?.version ?? -1)) this.#kv.put(CLASS, told);
  }

  /** The limits set for the project (null), or for one user in it. */
  own(user: string | null): Partial<Limits> {
    const rows = this.#sql.exec<{ resource: Resource; hard_limit: number }>(
      "SELECT resource, hard_limit FROM quota WHERE user_id = ?",
      user ?? "",
    );
    return Object.fromEntries([...rows].map((row) => [row.resource, row.hard_limit]));
  }

  set(user: string | null, limits: Partial<Limits>): void {
    for (const [resource, limit] of entriesOf(limits)) {
      this.#sql.exec("INSERT OR REPLACE INTO quota VALUES (?, ?, ?)", user ?? "", resource, limit);
    }
  }

  /** Back to the defaults: a user's limits, or (null) the project's and those of all its users. */
  remove(user: string | null): void {
    if (user === null) this.#sql.exec("DELETE FROM quota");
    else this.#sql.exec("DELETE FROM quota WHERE user_id = ?", user);
  }

  /** What other users' limits take of the project's (nova: the `remains` of a project's quota). */
  promised(resource: Resource, except: string | null): number {
    return this.#sql
      .exec<{ sum: number }>(
        `SELECT coalesce(sum(hard_limit), 0) AS sum FROM quota
         WHERE resource = ? AND user_id NOT IN ('', ?) AND hard_limit > 0`,
        resource,
        except ?? "",
      )
      .one().sum;
  }

  /** Usage of servers and reservations together, of the project or of one user in it. */
  usage(user: string | null): Usage {
    const { in_use, reserved } = this.splitUsage(user);
    return {
      instances: in_use.instances + reserved.instances,
      cores: in_use.cores + reserved.cores,
      ram: in_use.ram + reserved.ram,
    };
  }

  splitUsage(user: string | null): SplitUsage {
    const rows = this.#sql.exec<Usage & { reserves: number }>(
      `SELECT reserves, sum(instances) AS instances, sum(cores) AS cores, sum(ram) AS ram FROM (
         SELECT reserved_until IS NOT NULL AS reserves, counted AS instances, vcpus AS cores, ram
         FROM server WHERE ?1 IS NULL OR user_id = ?1
         UNION ALL
         SELECT 1, more_counted, more_vcpus, more_ram
         FROM server WHERE more_until IS NOT NULL AND (?1 IS NULL OR user_id = ?1)
       ) GROUP BY reserves`,
      user,
    );
    const usage: SplitUsage = {
      in_use: { instances: 0, cores: 0, ram: 0 },
      reserved: { instances: 0, cores: 0, ram: 0 },
    };
    for (const { reserves, ...sums } of rows) usage[reserves ? "reserved" : "in_use"] = sums;
    return usage;
  }

  /** Keeps something aside for a server until `until`; without it, nothing any more. Another word takes the place of the first. */
  keepMore(uuid: string, more: Usage, until: number | null): void {
    this.#sql.exec(
      "UPDATE server SET more_counted = ?, more_vcpus = ?, more_ram = ?, more_until = ? WHERE uuid = ?",
      more.instances,
      more.cores,
      more.ram,
      until,
      uuid,
    );
  }

  /** What a create by `user` is held against. Users without limits of their own cost no second look. */
  bounds(projectLimits: Limits, user: string): Bound[] {
    const own = this.own(user);
    const project = { limits: projectLimits, used: this.usage(null) };
    return Object.keys(own).length === 0 ? [project] : [project, { limits: own, used: this.usage(user) }];
  }
}
