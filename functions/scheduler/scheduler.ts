/** The view of all hosts of one cell, and the choice among them (nova-scheduler). It proposes; the host disposes. */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { log } from "../log.ts";
import type { Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { tenantsOf } from "./aggregate-values.ts";
import {
  MIGRATION as AGGREGATES,
  type Aggregate,
  type AggregateChange,
  type AggregateRefusal,
  Aggregates,
} from "./aggregates.ts";
import { enabledFilters, enabledWeighers } from "./available.ts";
import { CpuInfos } from "./cpu-infos.ts";
import type { Decision } from "./decision.ts";
import type { CandidateHost, HostState, KnownHost, RequestSpec } from "./host-state.ts";
import { selectHosts } from "./select.ts";

const MIGRATIONS = [
  "CREATE TABLE host (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;",
  `CREATE TABLE host_id (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
   INSERT INTO host_id (name) SELECT name FROM host ORDER BY name;`,
  AGGREGATES,
] as const;

/** What a host's word did not hold in earlier versions. */
const EARLIER = {
  connected: true,
  disabled_reason: null,
  forced_down: false,
  updated_at: null,
  io_ops: 0,
  failed_builds: 0,
  image_properties: {},
} as const;

export type Chosen = Pick<KnownHost, "host" | "zone">;
/** Hosts to try, the best first, and how they were chosen; empty: no valid host was found. */
export type Selected = { chosen: Chosen[]; decision: Decision };

export class Scheduler extends DurableObject<Env> {
  /** By id, as they are read so and later ones have greater ids. */
  readonly #hosts = new Map<string, CandidateHost>();
  readonly #aggregates: Aggregates;
  readonly #cpuInfos = new CpuInfos();
  /** Hosts that were removed, with their last word: one still on its way must not bring them back. */
  readonly #removed = new Map<string, number>();
  readonly #plugins: Parameters<typeof selectHosts>[1];

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const options = config(env);
    this.#plugins = { filters: enabledFilters(options, env), weighers: enabledWeighers(options, env) };
    migrate(ctx.storage, MIGRATIONS);
    this.#aggregates = new Aggregates(ctx.storage.sql, (host) => {
      const known = this.#hosts.get(host);
      return known ? known.used.instances > 0 : null;
    });
    const rows = ctx.storage.sql.exec<{ id: number; state: string }>(
      "SELECT id, state FROM host JOIN host_id USING (name) ORDER BY id",
    );
    for (const { id, state } of rows) this.#know({ ...EARLIER, ...JSON.parse(state) }, id);
  }

  /** Takes a host's word on itself, unless a later one is here. */
  updateHost(state: HostState): void {
    const known = this.#hosts.get(state.host);
    if (known && known.seq >= state.seq) return;
    if ((this.#removed.get(state.host) ?? 0) >= state.seq) return;
    this.#know({ ...EARLIER, ...state }, known?.id ?? this.#newId(state.host));
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO host VALUES (?, ?)", state.host, JSON.stringify(state));
  }

  /** Forgets a host whose service was deleted; `seq` is its last word. */
  removeHost(host: string, seq: number): void {
    this.#removed.set(host, seq);
    this.#hosts.delete(host);
    this.#aggregates.forgetHost(host);
    this.ctx.storage.sql.exec("DELETE FROM host WHERE name = ?", host);
    this.ctx.storage.sql.exec("DELETE FROM host_id WHERE name = ?", host);
  }

  /** Chooses for a server that is to be placed, and counts on its going there. */
  async select(spec: RequestSpec): Promise<Selected> {
    const selected = await this.preview(spec);
    const { chosen, decision } = selected;
    const passed = decision.filters.at(-1)?.out ?? decision.hosts;
    log("host.selected", { server: spec.server, hosts: decision.hosts, passed, chosen: chosen[0]?.host });
    if (chosen[0]) this.#expect(chosen[0].host, spec);
    return selected;
  }

  /** As well, and changes nothing: what would be chosen now. */
  async preview(asked: RequestSpec): Promise<Selected> {
    const spec = { ...asked, has_aggregate: tenantsOf(this.#aggregates.list()).includes(asked.project_id) };
    const options = config(this.env);
    const { chosen, decision } = await selectHosts(this.#hosts, this.#plugins, spec, options, Math.random);
    return { chosen: chosen.map(({ host, zone }) => ({ host, zone })), decision };
  }

  /** Every host as last heard of, by id. */
  hosts(): KnownHost[] {
    return [...this.#hosts.values()].map(({ aggregates: _, ...known }) => known);
  }

  aggregates(): Aggregate[] {
    return this.#aggregates.list();
  }

  createAggregate(name: string, zone: string | null): Result<Aggregate, AggregateRefusal> {
    return this.#aggregates.create(name, zone);
  }

  changeAggregate(id: number, change: AggregateChange): Result<Aggregate, AggregateRefusal> {
    const changed = this.#aggregates.change(id, change);
    for (const host of this.#hosts.values()) this.#know(host, host.id);
    return changed;
  }

  removeAggregate(id: number): Result<undefined, AggregateRefusal> {
    return this.#aggregates.remove(id);
  }

  #newId(host: string): number {
    const { sql } = this.ctx.storage;
    return sql.exec<{ id: number }>("INSERT INTO host_id (name) VALUES (?) RETURNING id", host).one().id;
  }

  /** Takes a host's state in, with where it belongs. */
  #know(state: HostState, id: number): void {
    const { host } = state;
    const zone = this.#aggregates.zoneOf(host) ?? config(this.env).DEFAULT_AVAILABILITY_ZONE;
    const aggregates = this.#aggregates.of(host).map(({ id, uuid, name, metadata }) => ({ id, uuid, name, metadata }));
    const inventory = this.#cpuInfos.sharedIn(state.inventory);
    this.#hosts.set(host, { ...state, inventory, id, zone, aggregates });
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
    this.#hosts.set(name, { ...host, used, io_ops: host.io_ops + 1 });
  }
}
