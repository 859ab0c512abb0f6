/**
 * One project: its quota, checked and reserved in this one place, and the index that lists are read from.
 * A server's row is its reservation until the server has left `building`, and its usage until it is deleted.
 */
import { DurableObject } from "cloudflare:workers";
import { type TooManyItems, tooManyItems } from "../conductor/details.ts";
import {
  type CreateSpec,
  newRecord,
  type ServerRecord,
  WITH_ALL_STATES,
  WITH_CONFIG_DRIVE,
} from "../conductor/record.ts";
import { config } from "../config.ts";
import type { SessionRecord } from "../console/session.ts";
import { causeOf, log } from "../log.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { charge, hasGrown } from "./charge.ts";
import {
  CONSOLE_SESSION_TABLE,
  findSession,
  readSessions,
  type SessionFilter,
  saveSessions,
} from "./console-sessions.ts";
import { MIGRATION as GROUPS, type GroupPlacement, type NewGroup, type ServerGroup, ServerGroups } from "./groups.ts";
import type { BadQuery, ListQuery, PackedPage } from "./listing.ts";
import type { Migration, MigrationFilter, NewMigration } from "./migration.ts";
import { MIGRATION_TABLE, readMigrations, saveMigration } from "./migrations.ts";
import {
  configuredLimits,
  exceeds,
  fitting,
  type Limits,
  type QuotaExceeded,
  type QuotaRefused,
  type Resource,
  refusal,
  type Usage,
} from "./quota.ts";
import { CHARGE_COLUMNS, type ClassLimits, QUOTA_TABLES, QuotaStore } from "./quota-store.ts";
import { findServer, INDEX_TABLES, isDeleted, keepDeleted, readPage } from "./server-index.ts";
import { keepUsage, readUsage, type ServerUsage, USAGE_TABLES } from "./usage.ts";

const MIGRATIONS = [
  `CREATE TABLE server (
     uuid TEXT PRIMARY KEY, version INTEGER NOT NULL, vcpus INTEGER NOT NULL, ram INTEGER NOT NULL,
     record TEXT NOT NULL, reserved_until INTEGER
   ) WITHOUT ROWID;
   CREATE INDEX server_reserved ON server (reserved_until) WHERE reserved_until IS NOT NULL;
   CREATE TABLE deleted (uuid TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;`,
  QUOTA_TABLES,
  USAGE_TABLES,
  GROUPS,
  `UPDATE server SET record = ${WITH_CONFIG_DRIVE};`,
  MIGRATION_TABLE,
  INDEX_TABLES,
  `${CHARGE_COLUMNS}
   UPDATE server SET record = ${WITH_ALL_STATES};`,
  CONSOLE_SESSION_TABLE,
] as const;

const RECHECK_MS = 60_000;
const NOTHING: Usage = { instances: 0, cores: 0, ram: 0 };

export type Quota = { limits: Limits; in_use: Usage & { server_groups: number }; reserved: Usage };

export type GroupRefusal = { kind: "no_such_group"; id: string } | { kind: "group_full" };

export class Project extends DurableObject<Env> {
  readonly #quotas: QuotaStore;
  readonly #groups: ServerGroups;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    this.#quotas = new QuotaStore(ctx.storage);
    this.#groups = new ServerGroups(ctx.storage.sql);
  }

  /**
   * Reserves quota for as many of the servers as fit, `least` of them at the least, and lists them. Returns how many,
   * and until when (ms since the epoch) `Server.create` may be called on the reservation.
   */
  async reserve(
    specs: readonly CreateSpec[],
    least: number,
  ): Promise<Result<{ count: number; until: number }, QuotaExceeded | TooManyItems | GroupRefusal>> {
    await this.#hearClass();
    // From here to the rows there is no await: the check and the reservation are one.
    const { user_id = "", metadata = {} } = specs[0] ?? {};
    const tooMany = tooManyItems(metadata, this.#limits(user_id).metadata_items);
    if (tooMany !== null) return err(tooMany);
    const bounds = this.#quotas.bounds(this.#limits(null), user_id);
    const fits = fitting(bounds, specs, least);
    if (!fits.ok) return fits;
    const count = fits.value;
    const refused = this.#join(specs.slice(0, count));
    if (refused !== null) return err(refused);
    const now = Date.now();
    const expires = now + config(this.env).RESERVATION_EXPIRE * 1000;
    for (const spec of specs.slice(0, count)) {
      this.ctx.storage.sql.exec(
        `INSERT INTO server (uuid, user_id, version, vcpus, ram, record, reserved_until) VALUES (?, ?, 0, ?, ?, ?, ?)`,
        spec.uuid,
        spec.user_id,
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
      keepDeleted(sql, record, now);
      keepUsage(sql, record, now);
      return;
    }
    if (isDeleted(sql, record.uuid)) return;
    const { uuid, version } = record;
    const { instances, cores, ram } = charge(record);
    sql.exec(
      `INSERT INTO server (uuid, version, vcpus, ram, record, user_id, counted) VALUES (?1, ?2, ?3, ?4, ?5, ?7, ?8)
       ON CONFLICT (uuid) DO UPDATE SET version = ?2, vcpus = ?3, ram = ?4, record = ?5, counted = ?8,
         reserved_until = CASE WHEN ?6 THEN reserved_until ELSE NULL END
       WHERE excluded.version > server.version`,
      uuid,
      version,
      cores,
      ram,
      JSON.stringify(record),
      record.vm_state === "building" ? 1 : 0,
      record.user_id,
      instances,
    );
    // What was kept aside for it is in its own charge now.
    if (hasGrown(record)) this.#quotas.keepMore(uuid, NOTHING, null);
  }

  /** Keeps quota aside for a server that is to grow: until its record says that it has, or RESERVATION_EXPIRE is over. */
  async reserveMore(uuid: string, more: Usage): Promise<Result<undefined, QuotaExceeded>> {
    await this.#hearClass();
    // From here to the row there is no await: the check and the reservation are one.
    const [owner] = this.ctx.storage.sql.exec<{ user_id: string }>("SELECT user_id FROM server WHERE uuid = ?", uuid);
    const user_id = owner?.user_id ?? "";
    const over = exceeds(this.#quotas.bounds(this.#limits(null), user_id), more);
    if (over !== null) return err(over);
    this.#quotas.keepMore(uuid, more, Date.now() + config(this.env).RESERVATION_EXPIRE * 1000);
    await this.#arm();
    return ok();
  }

  /** Gives back what was kept aside for a server. */
  releaseMore(uuid: string): void {
    this.#quotas.keepMore(uuid, NOTHING, null);
  }

  /** Usage of servers and reservations together. */
  usage(): Usage {
    return this.#quotas.usage(null);
  }

  /** The limits in force for the project (null) or one user in it, and what is used of them. */
  async quota(user: string | null): Promise<Quota> {
    await this.#hearClass();
    const { in_use, reserved } = this.#quotas.splitUsage(user);
    const groups = this.#groups.list().filter((group) => user === null || group.user_id === user);
    return { limits: this.#limits(user), in_use: { ...in_use, server_groups: groups.length }, reserved };
  }

  /** The limits in force for one user. */
  async limits(user: string): Promise<Limits> {
    await this.#hearClass();
    return this.#limits(user);
  }

  /** Sets limits of the project (null) or one user in it; unless forced, none below what is used or promised. */
  async setQuota(
    user: string | null,
    change: Partial<Limits>,
    force: boolean,
  ): Promise<Result<undefined, QuotaRefused>> {
    await this.#hearClass();
    const used: Partial<Record<Resource, number>> = this.#quotas.usage(user);
    const promised = (resource: Resource) => this.#quotas.promised(resource, user);
    const project = this.#limits(null);
    const refused =
      user === null
        ? refusal(
            change,
            (resource) => Math.max(used[resource] ?? 0, promised(resource)),
            () => -1,
          )
        : refusal(
            change,
            (resource) => used[resource] ?? 0,
            (resource) => (project[resource] === -1 ? -1 : Math.max(0, project[resource] - promised(resource))),
          );
    if (refused !== null && !force) return err(refused);
    this.#quotas.set(user, change);
    return ok();
  }

  /** Back to the defaults. */
  dropQuota(user: string | null): void {
    this.#quotas.remove(user);
  }

  /** Hears from the quota class `default` what it is now. */
  takeClass(told: ClassLimits): void {
    this.#quotas.takeClass(told);
  }

  /** One page of the project's servers, newest first unless asked otherwise. No server is woken. */
  list(query: ListQuery): Result<PackedPage, BadQuery> {
    const { sql } = this.ctx.storage;
    const { after = null, marker } = query;
    if (marker === undefined || after !== null) return ok(readPage(sql, query, after));
    const marked = findServer(sql, marker);
    if (marked === null) return err({ kind: "bad_query", message: `marker [${marker}] not found` });
    return ok(readPage(sql, query, marked));
  }

  /** The record of one of its servers, be it gone: for lists of many projects, to begin after it. */
  find(uuid: string): ServerRecord | null {
    return findServer(this.ctx.storage.sql, uuid);
  }

  /** The servers that ran at some time from `start` to `end` (ISO 8601 in UTC with milliseconds), also deleted ones. */
  serverUsage(start: string, end: string): ServerUsage[] {
    return readUsage(this.ctx.storage.sql, start, end);
  }

  /** A server's word on a move of itself, which may be said again. */
  saveMigration(move: NewMigration): void {
    saveMigration(this.ctx.storage.sql, move, Date.now());
  }

  /** A later word on such a move; nothing if it is none. */
  changeMigration(uuid: string, change: Partial<NewMigration>): void {
    const [known] = readMigrations(this.ctx.storage.sql, { uuid });
    if (known === undefined) return;
    const { id: _, ...move } = known;
    this.saveMigration({ ...move, ...change, updated_at: new Date().toISOString() });
  }

  /** The moves of the project's servers that match, newest first. */
  migrations(filter: MigrationFilter): Migration[] {
    return readMigrations(this.ctx.storage.sql, filter);
  }

  /** A console's word on sessions, which may be said again. */
  saveConsoleSessions(records: SessionRecord[]): void {
    const kept = config(this.env).CONSOLE_RECORD_RETENTION * 1000;
    saveSessions(this.ctx.storage.sql, records, new Date(Date.now() - kept).toISOString());
  }

  /** The console sessions that match, newest first. */
  consoleSessions(filter: SessionFilter): SessionRecord[] {
    return readSessions(this.ctx.storage.sql, filter);
  }

  consoleSession(id: string): SessionRecord | null {
    return findSession(this.ctx.storage.sql, id);
  }

  groups(): ServerGroup[] {
    return this.#groups.list();
  }

  group(id: string): ServerGroup | null {
    return this.#groups.get(id);
  }

  async createGroup(group: NewGroup): Promise<Result<ServerGroup, { kind: "over_quota" }>> {
    await this.#hearClass();
    return this.#groups.create(group, this.#limits(group.user_id).server_groups);
  }

  removeGroup(id: string): boolean {
    return this.#groups.remove(id);
  }

  /** What placing a server has to keep to; null when it is in no group. */
  groupPlacement(server: string): GroupPlacement | null {
    return this.#groups.placement(server);
  }

  /** What placing one more member of a group has to keep to; null when there is no such group. */
  nextPlacement(group: string): GroupPlacement | null {
    return this.#groups.placementIn(group, null);
  }

  /** Writes down where a member of a group is; false, and nothing written, when the group's policy forbids it. */
  placeMember(server: string, host: string | null): boolean {
    return this.#groups.place(server, host);
  }

  /** Gives back reservations whose server never came to be, or never grew: who asked for them died in between. */
  override async alarm(): Promise<void> {
    const { sql } = this.ctx.storage;
    const late = sql.exec<{ uuid: string }>("SELECT uuid FROM server WHERE more_until <= ?", Date.now()).toArray();
    for (const { uuid } of late) {
      log("reservation.expired", { project: this.ctx.id.name, server: uuid });
      this.#quotas.keepMore(uuid, NOTHING, null);
    }
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

  /** Asks for the quota class once; from then on it tells. */
  async #hearClass(): Promise<void> {
    const { name } = this.ctx.id;
    if (this.#quotas.classLimits() !== undefined || name === undefined) return;
    this.#quotas.takeClass(await this.env.QUOTA_CLASS.getByName("default").subscribe(name));
  }

  /** The limits in force: the user's, before the project's, before the class's, before the options. */
  #limits(user: string | null): Limits {
    return {
      ...configuredLimits(config(this.env)),
      ...this.#quotas.classLimits()?.limits,
      ...this.#quotas.own(null),
      ...(user === null ? {} : this.#quotas.own(user)),
    };
  }

  /** Makes new servers members of the group that they name, all of them or none. */
  #join(specs: readonly CreateSpec[]): GroupRefusal | null {
    const [first] = specs;
    if (!first?.server_group) return null;
    const { server_group: id, user_id } = first;
    if (this.#groups.get(id) === null) return { kind: "no_such_group", id };
    const limit = this.#limits(user_id).server_group_members;
    if (limit !== -1 && this.#groups.membersOf(id, user_id) + specs.length > limit) return { kind: "group_full" };
    for (const { uuid } of specs) this.#groups.join(id, uuid, user_id);
    return null;
  }

  async #arm(): Promise<void> {
    const { next } = this.ctx.storage.sql
      .exec<{ next: number | null }>(
        `SELECT min(at) AS next FROM (
           SELECT min(reserved_until) AS at FROM server WHERE reserved_until IS NOT NULL
           UNION ALL SELECT min(more_until) FROM server WHERE more_until IS NOT NULL)`,
      )
      .one();
    // One that comes earlier looks again; reservations one after another need not set it each time.
    const alarm = await this.ctx.storage.getAlarm();
    if (next !== null && (alarm === null || alarm > next)) await this.ctx.storage.setAlarm(next);
  }
}
