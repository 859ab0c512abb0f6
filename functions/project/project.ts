/**
 * One project: its quota, checked and reserved in this one place, and the index that lists are read from.
 * A server's row is its reservation until the server has left `building`, and its usage until it is deleted.
 */
import { DurableObject } from "cloudflare:workers";
import { type CreateSpec, newRecord, type ServerRecord } from "../conductor/record.ts";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { MIGRATION as GROUPS, type GroupPlacement, type NewGroup, type ServerGroup, ServerGroups } from "./groups.ts";
import { type BadQuery, type ListQuery, type Page, pageOf } from "./listing.ts";
import { exceeds, type QuotaExceeded, type Usage } from "./quota.ts";

const MIGRATIONS = [
  `CREATE TABLE server (
     uuid TEXT PRIMARY KEY, version INTEGER NOT NULL, vcpus INTEGER NOT NULL, ram INTEGER NOT NULL,
     record TEXT NOT NULL, reserved_until INTEGER
   ) WITHOUT ROWID;
   CREATE INDEX server_reserved ON server (reserved_until) WHERE reserved_until IS NOT NULL;
   CREATE TABLE deleted (uuid TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;`,
  GROUPS,
] as const;

/** A deleted server's late word must not bring its row back; words do not travel this long. */
const DELETED_KEEP_MS = 60 * 60 * 1000;
const RECHECK_MS = 60_000;

function demand(specs: readonly CreateSpec[]): Usage {
  const wanted: Usage = { instances: specs.length, cores: 0, ram: 0 };
  for (const { flavor } of specs) {
    wanted.cores += flavor.vcpus;
    wanted.ram += flavor.ram;
  }
  return wanted;
}

export type GroupRefusal = { kind: "no_such_group"; id: string } | { kind: "group_full" };

export class Project extends DurableObject<Env> {
  readonly #groups: ServerGroups;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    this.#groups = new ServerGroups(ctx.storage.sql);
  }

  /**
   * Reserves quota for as many of the servers as fit, `least` of them at the least, and lists them. Returns how many,
   * and until when (ms since the epoch) `Server.create` may be called on the reservation.
   */
  async reserve(
    specs: readonly CreateSpec[],
    least: number,
  ): Promise<Result<{ count: number; until: number }, QuotaExceeded | GroupRefusal>> {
    const { QUOTA_INSTANCES, QUOTA_CORES, QUOTA_RAM, RESERVATION_EXPIRE } = config(this.env);
    const limits = { instances: QUOTA_INSTANCES, cores: QUOTA_CORES, ram: QUOTA_RAM };
    const used = this.usage();
    let count = specs.length;
    for (; ; count--) {
      const over = exceeds(limits, used, demand(specs.slice(0, count)));
      if (over === null) break;
      if (count <= least) return err(over);
    }
    const refused = this.#join(specs.slice(0, count));
    if (refused !== null) return err(refused);
    const now = Date.now();
    const expires = now + RESERVATION_EXPIRE * 1000;
    for (const spec of specs.slice(0, count)) {
      this.ctx.storage.sql.exec(
        "INSERT INTO server VALUES (?, 0, ?, ?, ?, ?)",
        spec.uuid,
        spec.flavor.vcpus,
        spec.flavor.ram,
        JSON.stringify(newRecord(spec)),
        expires,
      );
    }
    await this.#arm();
    // Half of the time is left for a create that is still on its way when its caller is told that it was too late.
    return ok({ count, until: (now + expires) / 2 });
  }

  /** Takes a server's word on itself: commits its reservation when it has been built, and drops its row when it is gone. */
  index(record: ServerRecord): void {
    const { sql } = this.ctx.storage;
    if (record.vm_state === "deleted") {
      const now = Date.now();
      sql.exec("DELETE FROM server WHERE uuid = ?", record.uuid);
      this.#groups.leave(record.uuid);
      sql.exec("DELETE FROM deleted WHERE at < ?", now - DELETED_KEEP_MS);
      sql.exec("INSERT OR REPLACE INTO deleted VALUES (?, ?)", record.uuid, now);
      return;
    }
    const gone = sql.exec("SELECT 1 FROM deleted WHERE uuid = ?", record.uuid).toArray().length > 0;
    if (gone) return;
    const { uuid, version, flavor } = record;
    sql.exec(
      `INSERT INTO server VALUES (?1, ?2, ?3, ?4, ?5, NULL)
       ON CONFLICT (uuid) DO UPDATE SET version = ?2, vcpus = ?3, ram = ?4, record = ?5,
         reserved_until = CASE WHEN ?6 THEN reserved_until ELSE NULL END
       WHERE excluded.version > server.version`,
      uuid,
      version,
      flavor.vcpus,
      flavor.ram,
      JSON.stringify(record),
      record.vm_state === "building" ? 1 : 0,
    );
  }

  /** Usage of servers and reservations together. `ram` in MiB. */
  usage(): Usage {
    return this.ctx.storage.sql
      .exec<Usage>(
        "SELECT count(*) AS instances, coalesce(sum(vcpus), 0) AS cores, coalesce(sum(ram), 0) AS ram FROM server",
      )
      .one();
  }

  /** One page of the project's servers, newest first unless asked otherwise. No server is woken. */
  list(query: ListQuery): Result<Page, BadQuery> {
    const rows = this.ctx.storage.sql.exec<{ record: string }>("SELECT record FROM server");
    const records = [...rows].map((row) => JSON.parse(row.record) as ServerRecord);
    return pageOf(records, query);
  }

  groups(): ServerGroup[] {
    return this.#groups.list();
  }

  group(id: string): ServerGroup | null {
    return this.#groups.get(id);
  }

  createGroup(group: NewGroup): Result<ServerGroup, { kind: "over_quota" }> {
    return this.#groups.create(group, config(this.env).QUOTA_SERVER_GROUPS);
  }

  removeGroup(id: string): boolean {
    return this.#groups.remove(id);
  }

  /** What placing a server has to keep to; null when it is in no group. */
  groupPlacement(server: string): GroupPlacement | null {
    return this.#groups.placement(server);
  }

  /** Writes down where a member of a group is; false, and nothing written, when the group's policy forbids it. */
  placeMember(server: string, host: string | null): boolean {
    return this.#groups.place(server, host);
  }

  /** Gives back reservations whose server never came to be: the API died between reserving and creating. */
  override async alarm(): Promise<void> {
    const { sql } = this.ctx.storage;
    const due = sql.exec<{ uuid: string }>("SELECT uuid FROM server WHERE reserved_until <= ?", Date.now()).toArray();
    for (const { uuid } of due) {
      try {
        if (await this.env.SERVER.getByName(uuid).exists()) {
          sql.exec(
            "UPDATE server SET reserved_until = ? WHERE uuid = ? AND reserved_until IS NOT NULL",
            Date.now() + RECHECK_MS,
            uuid,
          );
        } else {
          log("reservation.expired", { project: this.ctx.id.name, server: uuid });
          sql.exec("DELETE FROM server WHERE uuid = ? AND reserved_until IS NOT NULL", uuid);
          this.#groups.leave(uuid);
        }
      } catch (error) {
        log("reservation.unchecked", { server: uuid, cause: causeOf(error) });
        sql.exec("UPDATE server SET reserved_until = ? WHERE uuid = ?", Date.now() + RECHECK_MS, uuid);
      }
    }
    await this.#arm();
  }

  /** Makes new servers members of the group that they name, all of them or none. */
  #join(specs: readonly CreateSpec[]): GroupRefusal | null {
    const [first] = specs;
    if (!first?.server_group) return null;
    const { server_group: id, user_id } = first;
    if (this.#groups.get(id) === null) return { kind: "no_such_group", id };
    const limit = config(this.env).QUOTA_SERVER_GROUP_MEMBERS;
    if (limit !== -1 && this.#groups.membersOf(id, user_id) + specs.length > limit) return { kind: "group_full" };
    for (const { uuid } of specs) this.#groups.join(id, uuid, user_id);
    return null;
  }

  async #arm(): Promise<void> {
    const { next } = this.ctx.storage.sql
      .exec<{ next: number | null }>("SELECT min(reserved_until) AS next FROM server WHERE reserved_until IS NOT NULL")
      .one();
    if (next === null) await this.ctx.storage.deleteAlarm();
    else await this.ctx.storage.setAlarm(next);
  }
}
