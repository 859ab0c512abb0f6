/**
 * Host aggregates, and the availability zones that they make of hosts (nova: objects/aggregate.py, availability_zones.py).
 * A host is in one zone: that of its aggregates' metadata, else the default. It does not change while servers are there.
 */
import { err, ok, type Result } from "../result.ts";
import type { HostAggregate } from "./host-state.ts";

export const MIGRATION = `CREATE TABLE aggregate (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, name TEXT NOT NULL UNIQUE,
  metadata TEXT NOT NULL, hosts TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT
);`;

/** The metadata that names the zone of an aggregate's hosts. */
export const ZONE_KEY = "availability_zone";

export type Aggregate = {
  id: number;
  uuid: string;
  name: string;
  metadata: Record<string, string>;
  hosts: string[];
  created_at: string;
  updated_at: string | null;
};
/** A null value takes the key away. */
export type AggregateChange =
  | { do: "update"; name?: string; metadata?: Record<string, string | null> }
  | { do: "add_host" | "remove_host"; host: string };
export type AggregateRefusal =
  | { kind: "not_found" | "name_exists" | "not_empty" | "unknown_host" | "has_host" | "no_host" }
  | { kind: "invalid"; reason: string };

type Row = Omit<Aggregate, "metadata" | "hosts"> & { metadata: string; hosts: string };

export class Aggregates {
  readonly #sql: SqlStorage;
  /** Whether a host has servers; null for a host that is not known. */
  readonly #busy: (host: string) => boolean | null;
  #all: Aggregate[];
  #zones: ReadonlyMap<string, string>;
  #ofHost: ReadonlyMap<string, readonly HostAggregate[]>;

  constructor(sql: SqlStorage, busy: (host: string) => boolean | null) {
    this.#sql = sql;
    this.#busy = busy;
    const rows = sql.exec<Row>("SELECT * FROM aggregate ORDER BY id").toArray();
    this.#all = rows.map((row) => ({ ...row, metadata: JSON.parse(row.metadata), hosts: JSON.parse(row.hosts) }));
    this.#zones = zonesOf(this.#all).zones;
    this.#ofHost = byHost(this.#all);
  }

  list(): Aggregate[] {
    return this.#all;
  }

  /** The zone that an aggregate gives the host; undefined when none does. */
  zoneOf(host: string): string | undefined {
    return this.#zones.get(host);
  }

  /** The aggregates that the host is in: one list for all hosts of the same. */
  of(host: string): readonly HostAggregate[] {
    return this.#ofHost.get(host) ?? NONE;
  }

  create(name: string, zone: string | null): Result<Aggregate, AggregateRefusal> {
    if (this.#all.some((one) => one.name === name)) return err({ kind: "name_exists" });
    const { id } = this.#sql
      .exec<{ id: number }>(
        "INSERT INTO aggregate (uuid, name, metadata, hosts, created_at) VALUES (?, ?, ?, '[]', ?) RETURNING id",
        crypto.randomUUID(),
        name,
        JSON.stringify(zone === null ? {} : { [ZONE_KEY]: zone }),
        new Date().toISOString(),
      )
      .one();
    const row = this.#sql.exec<Row>("SELECT * FROM aggregate WHERE id = ?", id).one();
    const made = { ...row, metadata: JSON.parse(row.metadata), hosts: [] };
    this.#all = [...this.#all, made];
    return ok(made);
  }

  change(id: number, change: AggregateChange): Result<Aggregate, AggregateRefusal> {
    const known = this.#all.find((one) => one.id === id);
    if (!known) return err({ kind: "not_found" });
    const applied = change.do === "update" ? this.#updated(known, change) : this.#moved(known, change);
    if (!applied.ok) return applied;
    const changed = { ...applied.value, updated_at: new Date().toISOString() };
    const all = this.#all.map((one) => (one.id === id ? changed : one));
    const reason = this.#conflict(all);
    if (reason !== null) return err({ kind: "invalid", reason });
    this.#save(changed);
    this.#take(all);
    return ok(changed);
  }

  remove(id: number): Result<undefined, AggregateRefusal> {
    const known = this.#all.find((one) => one.id === id);
    if (!known) return err({ kind: "not_found" });
    if (known.hosts.length > 0) return err({ kind: "not_empty" });
    this.#sql.exec("DELETE FROM aggregate WHERE id = ?", id);
    this.#all = this.#all.filter((one) => one !== known);
    return ok();
  }

  /** Takes a host that is no more out of all. */
  forgetHost(host: string): void {
    const all = this.#all.map((one) => {
      if (!one.hosts.includes(host)) return one;
      const left = { ...one, hosts: one.hosts.filter((other) => other !== host) };
      this.#save(left);
      return left;
    });
    this.#take(all);
  }

  #take(all: Aggregate[]): void {
    this.#all = all;
    this.#zones = zonesOf(all).zones;
    this.#ofHost = byHost(all);
  }

  #updated(known: Aggregate, change: AggregateChange & { do: "update" }): Result<Aggregate, AggregateRefusal> {
    const name = change.name ?? known.name;
    if (this.#all.some((one) => one.name === name && one.id !== known.id)) return err({ kind: "name_exists" });
    const merged = Object.entries({ ...known.metadata, ...change.metadata });
    const metadata = Object.fromEntries(merged.filter((item): item is [string, string] => item[1] !== null));
    return ok({ ...known, name, metadata });
  }

  #moved(known: Aggregate, { do: what, host }: Exclude<AggregateChange, { do: "update" }>) {
    const here = known.hosts.includes(host);
    if (this.#busy(host) === null && !here) return err({ kind: "unknown_host" } as const);
    if (what === "add_host") {
      return here ? err({ kind: "has_host" } as const) : ok({ ...known, hosts: [...known.hosts, host] });
    }
    return here
      ? ok({ ...known, hosts: known.hosts.filter((one) => one !== host) })
      : err({ kind: "no_host" } as const);
  }

  /** Why the aggregates may not become `next`: Nova's words; null when they may. */
  #conflict(next: readonly Aggregate[]): string | null {
    const { zones, twice } = zonesOf(next);
    if (twice.length > 0) return `One or more hosts already in availability zone(s) ${twice.join(", ")}`;
    const hosts = new Set([...zones.keys(), ...this.#zones.keys()]);
    const moved = [...hosts].some((host) => zones.get(host) !== this.#zones.get(host) && this.#busy(host) === true);
    return moved ? "One or more hosts contain instances in this zone" : null;
  }

  #save({ id, name, metadata, hosts, updated_at }: Aggregate): void {
    this.#sql.exec(
      "UPDATE aggregate SET name = ?, metadata = ?, hosts = ?, updated_at = ? WHERE id = ?",
      name,
      JSON.stringify(metadata),
      JSON.stringify(hosts),
      updated_at,
      id,
    );
  }
}

/** Each host's zone; `twice`: zones of hosts that would be in two. */
function zonesOf(all: readonly Aggregate[]): { zones: Map<string, string>; twice: string[] } {
  const zones = new Map<string, string>();
  const twice: string[] = [];
  for (const { metadata, hosts } of all) {
    const zone = metadata[ZONE_KEY];
    if (zone === undefined) continue;
    for (const host of hosts) {
      const other = zones.get(host);
      if (other !== undefined && other !== zone) twice.push(other);
      zones.set(host, zone);
    }
  }
  return { zones, twice };
}

/** The aggregates of each host that is in one. Hosts of the same ones share one list, and decisions reckon with lists. */
function byHost(all: readonly Aggregate[]): Map<string, readonly HostAggregate[]> {
  const lists = new Map<string, readonly HostAggregate[]>();
  const ofHost = new Map<string, readonly HostAggregate[]>();
  for (const { id, uuid, name, metadata, hosts } of all) {
    const one = { id, uuid, name, metadata };
    for (const host of hosts) {
      const before = ofHost.get(host) ?? NONE;
      const key = [...before.map((other) => other.id), id].join();
      const list = lists.get(key) ?? [...before, one];
      lists.set(key, list);
      ofHost.set(host, list);
    }
  }
  return ofHost;
}

const NONE: readonly HostAggregate[] = [];
