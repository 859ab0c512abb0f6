/** The view of all hosts of one cell, and the choice among them (nova-scheduler). It proposes; the host disposes. */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { log } from "../log.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { ALL_FILTERS } from "./filters/all.ts";
import type { HostState, KnownHost, RequestSpec } from "./host-state.ts";
import { byName, filterHosts, pick, weighHosts } from "./select.ts";
import { ALL_WEIGHERS } from "./weighers/all.ts";

const MIGRATIONS = [
  "CREATE TABLE host (name TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;",
  `CREATE TABLE host_id (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
   INSERT INTO host_id (name) SELECT name FROM host ORDER BY name;`,
] as const;

/** What a host's word did not hold before an operator could speak of its service. */
const EARLIER = { disabled_reason: null, forced_down: false, updated_at: null } as const;

export class Scheduler extends DurableObject<Env> {
  readonly #hosts = new Map<string, HostState>();
  /** Hosts that were removed, with their last word: one still on its way must not bring them back. */
  readonly #removed = new Map<string, number>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    const rows = ctx.storage.sql.exec<{ name: string; state: string }>("SELECT * FROM host");
    for (const row of rows) this.#hosts.set(row.name, { ...EARLIER, ...JSON.parse(row.state) });
  }

  /** Takes a host's word on itself, unless a later one is here. */
  updateHost(state: HostState): void {
    const known = this.#hosts.get(state.host);
    if (known && known.seq >= state.seq) return;
    if ((this.#removed.get(state.host) ?? 0) >= state.seq) return;
    this.#hosts.set(state.host, state);
    this.ctx.storage.sql.exec("INSERT OR IGNORE INTO host_id (name) VALUES (?)", state.host);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO host VALUES (?, ?)", state.host, JSON.stringify(state));
  }

  /** Forgets a host whose service was deleted; `seq` is its last word. */
  removeHost(host: string, seq: number): void {
    this.#removed.set(host, seq);
    this.#hosts.delete(host);
    this.ctx.storage.sql.exec("DELETE FROM host WHERE name = ?", host);
    this.ctx.storage.sql.exec("DELETE FROM host_id WHERE name = ?", host);
  }

  /** Names of hosts to try, the chosen one first, then its alternates: MAX_ATTEMPTS at the most. */
  select(spec: RequestSpec): Result<string[], { kind: "no_valid_host" }> {
    const options = config(this.env);
    const filters = byName("ENABLED_FILTERS", ALL_FILTERS, options.ENABLED_FILTERS);
    const weighers = byName("WEIGHT_CLASSES", ALL_WEIGHERS, options.WEIGHT_CLASSES);
    const passed = filterHosts([...this.#hosts.values()], filters, spec);
    const ranked = weighHosts(passed, weighers, spec, options);
    const chosen = pick(ranked, options.HOST_SUBSET_SIZE, options.MAX_ATTEMPTS, Math.random);
    log("host.selected", {
      server: spec.server,
      hosts: this.#hosts.size,
      passed: passed.length,
      chosen: chosen[0]?.host,
    });
    if (!chosen[0]) return err({ kind: "no_valid_host" });
    this.#expect(chosen[0], spec);
    return ok(chosen.map((host) => host.host));
  }

  /** Every host as last heard of, by id. */
  hosts(): KnownHost[] {
    const zone = config(this.env).DEFAULT_AVAILABILITY_ZONE;
    const ids = this.ctx.storage.sql.exec<{ id: number; name: string }>("SELECT id, name FROM host_id ORDER BY id");
    return [...ids].flatMap(({ id, name }) => {
      const state = this.#hosts.get(name);
      return state ? [{ ...state, id, zone }] : [];
    });
  }

  /** Counts the choice at once, in memory only, so that the next choice spreads; the host's own word replaces it. */
  #expect(host: HostState, spec: RequestSpec): void {
    const used = {
      vcpus: host.used.vcpus + spec.vcpus,
      memory_mb: host.used.memory_mb + spec.memory_mb,
      disk_gb: host.used.disk_gb + spec.disk_gb,
      instances: host.used.instances + 1,
    };
    this.#hosts.set(host.host, { ...host, used });
  }
}
