/** The view of all hosts of one cell, and the choice among them (nova-scheduler). It proposes; the host disposes. */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { log } from "../log.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import {
  MIGRATION as AGGREGATES,
  type Aggregate,
  type AggregateChange,
  type AggregateRefusal,
  Aggregates,
} from "./aggregates.ts";
import { ALL_FILTERS } from "./filters/all.ts";
import type { HostState, KnownHost, RequestSpec } from "./host-state.ts";
import { byName, filterHosts, pick, weighHosts } from "./select.ts";
import { ALL_WEIGHERS } from "./weighers/all.ts";

const MIGRATIONS = [
  "CREATE TABLE host (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;",
  `CREATE TABLE host_id (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
   INSERT INTO host_id (name) SELECT name FROM host ORDER BY name;`,
  AGGREGATES,
] as const;

/** What a host's word did not hold before an operator could speak of its service. */
const EARLIER = { disabled_reason: null, forced_down: false, updated_at: null } as const;

export type Chosen = Pick<KnownHost, "host" | "zone">;

export class Scheduler extends DurableObject<Env> {
  readonly #hosts = new Map<string, HostState>();
  readonly #ids = new Map<string, number>();
  readonly #aggregates: Aggregates;
  /** Hosts that were removed, with their last word: one still on its way must not bring them back. */
  readonly #removed = new Map<string, number>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    const rows = ctx.storage.sql.exec<{ name: string; state: string }>("SELECT * FROM host");
    for (const row of rows) this.#hosts.set(row.name, { ...EARLIER, ...JSON.parse(row.state) });
    const ids = ctx.storage.sql.exec<{ id: number; name: string }>("SELECT id, name FROM host_id");
    for (const { id, name } of ids) this.#ids.set(name, id);
    this.#aggregates = new Aggregates(ctx.storage.sql, (host) => {
      const known = this.#hosts.get(host);
      return known ? known.used.instances > 0 : null;
    });
  }

  /** Takes a host's word on itself, unless a later one is here. */
  updateHost(state: HostState): void {
    const known = this.#hosts.get(state.host);
    if (known && known.seq >= state.seq) return;
    if ((this.#removed.get(state.host) ?? 0) >= state.seq) return;
    this.#hosts.set(state.host, state);
    if (!this.#ids.has(state.host)) this.#ids.set(state.host, this.#newId(state.host));
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO host VALUES (?, ?)", state.host, JSON.stringify(state));
  }

  /** Forgets a host whose service was deleted; `seq` is its last word. */
  removeHost(host: string, seq: number): void {
    this.#removed.set(host, seq);
    this.#hosts.delete(host);
    this.#ids.delete(host);
    this.#aggregates.forgetHost(host);
    this.ctx.storage.sql.exec("DELETE FROM host WHERE name = ?", host);
    this.ctx.storage.sql.exec("DELETE FROM host_id WHERE name = ?", host);
  }

  /** Hosts to try, the chosen one first, then its alternates: MAX_ATTEMPTS at the most. */
  select(spec: RequestSpec): Result<Chosen[], { kind: "no_valid_host" }> {
    const options = config(this.env);
    const filters = byName("ENABLED_FILTERS", ALL_FILTERS, options.ENABLED_FILTERS);
    const weighers = byName("WEIGHT_CLASSES", ALL_WEIGHERS, options.WEIGHT_CLASSES);
    const passed = filterHosts(this.hosts(), filters, spec);
    const ranked = weighHosts(passed, weighers, spec, options);
    const chosen = pick(ranked, options.HOST_SUBSET_SIZE, options.MAX_ATTEMPTS, Math.random);
    log("host.selected", {
      server: spec.server,
      hosts: this.#hosts.size,
      passed: passed.length,
      chosen: chosen[0]?.host,
    });
    if (!chosen[0]) return err({ kind: "no_valid_host" });
    this.#expect(chosen[0].host, spec);
    return ok(chosen.map(({ host, zone }) => ({ host, zone })));
  }

  /** Every host as last heard of, by id. */
  hosts(): KnownHost[] {
    const zone = config(this.env).DEFAULT_AVAILABILITY_ZONE;
    const known = [...this.#hosts.values()].map((state) => ({
      ...state,
      id: this.#ids.get(state.host) ?? 0,
      zone: this.#aggregates.zoneOf(state.host) ?? zone,
    }));
    return known.sort((a, b) => a.id - b.id);
  }

  aggregates(): Aggregate[] {
    return this.#aggregates.list();
  }

  createAggregate(name: string, zone: string | null): Result<Aggregate, AggregateRefusal> {
    return this.#aggregates.create(name, zone);
  }

  changeAggregate(id: number, change: AggregateChange): Result<Aggregate, AggregateRefusal> {
    return this.#aggregates.change(id, change);
  }

  removeAggregate(id: number): Result<undefined, AggregateRefusal> {
    return this.#aggregates.remove(id);
  }

  #newId(host: string): number {
    const { sql } = this.ctx.storage;
    return sql.exec<{ id: number }>("INSERT INTO host_id (name) VALUES (?) RETURNING id", host).one().id;
  }

  /** Counts the choice at once, in memory only, so that the next choice spreads; the host's own word replaces it. */
  #expect(name: string, spec: RequestSpec): void {
    const host = this.#hosts.get(name);
    if (!host) return;
    const used = {
      vcpus: host.used.vcpus + spec.vcpus,
      memory_mb: host.used.memory_mb + spec.memory_mb,
      disk_gb: host.used.disk_gb + spec.disk_gb,
      instances: host.used.instances + 1,
    };
    this.#hosts.set(name, { ...host, used });
  }
}
