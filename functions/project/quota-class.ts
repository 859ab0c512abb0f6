/**
 * The limits of one quota class (nova: quota_classes). Only `default` has effect: it stands between a project's own
 * limits and the options.
 *
 * No create asks here: every `Project` keeps a copy. It asks once, in its first need, and is from then on told of every
 * change; a copy carries a version, so words that cross on their way cannot bring an old one back. Who has not
 * confirmed a version is told again by alarm until he has.
 */
import { DurableObject } from "cloudflare:workers";
import { causeOf, log } from "../log.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import { entriesOf, type Limits, type Resource } from "./quota.ts";
import type { ClassLimits } from "./quota-store.ts";

const MIGRATIONS = [
  `CREATE TABLE quota (resource TEXT PRIMARY KEY, hard_limit INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE subscriber (project TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;`,
] as const;
const VERSION = "version";

/** Projects told at once: each is a call out of this object. */
const BATCH = 50;
const RETRY_MS = 5_000;

export class QuotaClass extends DurableObject<Env> {
  #exists: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#exists = migrateExisting(ctx.storage, MIGRATIONS);
  }

  limits(): Partial<Limits> {
    return this.#exists ? this.#current().limits : {};
  }

  /** Sets the limits given, keeps the others, and tells every project that can be reached before it returns. */
  async change(limits: Partial<Limits>): Promise<Partial<Limits>> {
    this.#create();
    for (const [resource, limit] of entriesOf(limits)) {
      this.ctx.storage.sql.exec("INSERT OR REPLACE INTO quota VALUES (?, ?)", resource, limit);
    }
    this.ctx.storage.kv.put(VERSION, this.#current().version + 1);
    await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    await this.#tell();
    return this.#current().limits;
  }

  /** The limits as they are, for a project that is told of every change from now on. */
  subscribe(project: string): ClassLimits {
    this.#create();
    const current = this.#current();
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO subscriber VALUES (?, ?)", project, current.version);
    return current;
  }

  override async alarm(): Promise<void> {
    if (this.#exists) await this.#tell();
  }

  #create(): void {
    migrate(this.ctx.storage, MIGRATIONS);
    this.#exists = true;
  }

  #current(): ClassLimits {
    const rows = this.ctx.storage.sql.exec<{ resource: Resource; hard_limit: number }>("SELECT * FROM quota");
    const limits = Object.fromEntries([...rows].map((row) => [row.resource, row.hard_limit]));
    return { version: this.ctx.storage.kv.get<number>(VERSION) ?? 0, limits };
  }

  async #tell(): Promise<void> {
    const { sql } = this.ctx.storage;
    const told = this.#current();
    for (let after = ""; ; ) {
      const due = sql
        .exec<{ project: string }>(
          "SELECT project FROM subscriber WHERE version < ? AND project > ? ORDER BY project LIMIT ?",
          told.version,
          after,
          BATCH,
        )
        .toArray();
      const last = due.at(-1);
      if (last === undefined) break;
      after = last.project;
      await Promise.all(due.map(({ project }) => this.#tellOne(project, told)));
    }
    const { left } = sql
      .exec<{ left: number }>("SELECT count(*) AS left FROM subscriber WHERE version < ?", this.#current().version)
      .one();
    if (left === 0) await this.ctx.storage.deleteAlarm();
    else await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
  }

  async #tellOne(project: string, told: ClassLimits): Promise<void> {
    try {
      await this.env.PROJECT.getByName(project).takeClass(told);
      this.ctx.storage.sql.exec(
        "UPDATE subscriber SET version = ?1 WHERE project = ?2 AND version < ?1",
        told.version,
        project,
      );
    } catch (error) {
      log("quota_class.untold", { project, cause: causeOf(error) });
    }
  }
}
