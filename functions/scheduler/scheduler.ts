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
import type { Decision } from "./decision.ts";
import type { HostState, KnownHost, RequestSpec } from "./host-state.ts";
import { Hosts, USAGE_MIGRATION } from "./hosts.ts";
import { type Plugins, selectHosts } from "./select.ts";

const MIGRATIONS = [
  "CREATE TABLE host (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;",
  `CREATE TABLE host_id (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
   INSERT INTO host_id (name) SELECT name FROM host ORDER BY name;`,
  AGGREGATES,
  USAGE_MIGRATION,
] as const;

export type Chosen = Pick<KnownHost, "host" | "zone">;
/** Hosts to try, the best first, and how they were chosen; empty: no valid host was found. */
export type Selected = { chosen: Chosen[]; decision: Decision };

export class Scheduler extends DurableObject<Env> {
  readonly #hosts: Hosts;
  readonly #aggregates: Aggregates;
  readonly #plugins: Plugins;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const options = config(env);
    this.#plugins = { filters: enabledFilters(options, env), weighers: enabledWeighers(options, env) };
    const { sql } = ctx.storage;
    migrate(ctx.storage, MIGRATIONS);
    this.#aggregates = new Aggregates(sql, (host) => {
      const known = this.#hosts.get(host);
      return known ? known.used.instances > 0 : null;
    });
    this.#hosts = new Hosts(sql, (host) => ({
      zone: this.#aggregates.zoneOf(host) ?? options.DEFAULT_AVAILABILITY_ZONE,
      aggregates: this.#aggregates.of(host),
    }));
  }

  /** Takes a host's word on itself, unless a later one is here. */
  updateHost(state: HostState): void {
    this.#hosts.update(state);
  }

  /** Forgets a host whose service was deleted; `seq` is its last word. */
  removeHost(host: string, seq: number): void {
    this.#hosts.remove(host, seq);
    this.#aggregates.forgetHost(host);
  }

  /** Chooses for a server that is to be placed, and counts on its going there. */
  async select(spec: RequestSpec): Promise<Selected> {
    const selected = await this.preview(spec);
    const { chosen, decision } = selected;
    const passed = decision.filters.at(-1)?.out ?? decision.hosts;
    log("host.selected", { server: spec.server, hosts: decision.hosts, passed, chosen: chosen[0]?.host });
    if (chosen[0]) this.#hosts.expect(chosen[0].host, spec);
    return selected;
  }

  /** As well, and changes nothing: what would be chosen now. */
  async preview(asked: RequestSpec): Promise<Selected> {
    const spec = { ...asked, has_aggregate: tenantsOf(this.#aggregates.list()).includes(asked.project_id) };
    const options = config(this.env);
    const { chosen, decision } = await selectHosts(this.#hosts.all(), this.#plugins, spec, options, Math.random);
    return { chosen: chosen.map(({ host, zone }) => ({ host, zone })), decision };
  }

  /** Every host as last heard of, by id. */
  hosts(): KnownHost[] {
    return this.#hosts.all().map(({ aggregates: _, ...known }) => known);
  }

  /** Of every host what its service is: of ten thousand all is too much for a question about one server. */
  services(): Pick<KnownHost, "host" | "up" | "enabled" | "forced_down">[] {
    return this.#hosts.all().map(({ host, up, enabled, forced_down }) => ({ host, up, enabled, forced_down }));
  }

  /** The host that has the name, or whose node has, or both; null when there is none. */
  named({ host, node }: { host?: string | undefined; node?: string | undefined }): string | null {
    const isIt = (one: KnownHost) =>
      (host === undefined || one.host === host) && (node === undefined || one.inventory.hypervisor_hostname === node);
    return this.#hosts.all().find(isIt)?.host ?? null;
  }

  /** Whether a zone is one to ask for: one of its hosts is enabled (nova: get_availability_zones). */
  isOpen(zone: string): boolean {
    return this.#hosts.all().some((one) => one.enabled && one.zone === zone);
  }

  aggregates(): Aggregate[] {
    return this.#aggregates.list();
  }

  createAggregate(name: string, zone: string | null): Result<Aggregate, AggregateRefusal> {
    return this.#aggregates.create(name, zone);
  }

  changeAggregate(id: number, change: AggregateChange): Result<Aggregate, AggregateRefusal> {
    const changed = this.#aggregates.change(id, change);
    this.#hosts.place();
    return changed;
  }

  removeAggregate(id: number): Result<undefined, AggregateRefusal> {
    return this.#aggregates.remove(id);
  }
}
