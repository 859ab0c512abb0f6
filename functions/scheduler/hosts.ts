/**
 * The hosts as the scheduler last heard of them, and their rows. A host's row has two parts, in a table each: what it
 * is, which is long and seldom changes, and what it holds and does, which is short and changes with each claim.
 */
import { isDeepStrictEqual } from "node:util";
import type { Resources } from "../compute/claims.ts";
import type { Inventory } from "../protocol/guest.ts";
import type { CandidateHost, HostState } from "./host-state.ts";
import { Pool } from "./pool.ts";

/** Rows of before have all in `host`. */
export const USAGE_MIGRATION = "CREATE TABLE host_usage (id INTEGER PRIMARY KEY, usage TEXT NOT NULL);";

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

type Place = Pick<CandidateHost, "zone" | "aggregates">;
type Usage = Pick<
  HostState,
  "seq" | "updated_at" | "up" | "connected" | "used" | "io_ops" | "failed_builds" | "image_properties"
>;
type Lasting = Omit<HostState, keyof Usage>;

function partsOf(state: HostState): { lasting: Lasting; usage: Usage } {
  const { seq, updated_at, up, connected, used, io_ops, failed_builds, image_properties, ...lasting } = state;
  return { lasting, usage: { seq, updated_at, up, connected, used, io_ops, failed_builds, image_properties } };
}

/** Without what changes by itself all the time, and is not worth a write: its next word brings it again. */
const withoutMetrics = ({ inventory, ...rest }: Lasting) => ({ ...rest, inventory: { ...inventory, metrics: null } });
const withoutTime = (usage: Usage) => ({ ...usage, seq: null, updated_at: null });

export class Hosts {
  readonly #sql: SqlStorage;
  readonly #placeOf: (host: string) => Place;
  /** By id, as they are read so and later ones have greater ids. */
  readonly #all = new Map<string, CandidateHost>();
  /** Hosts that were removed, with their last word: one still on its way must not bring them back. */
  readonly #removed = new Map<string, number>();
  readonly #pool = new Pool();

  constructor(sql: SqlStorage, placeOf: (host: string) => Place) {
    this.#sql = sql;
    this.#placeOf = placeOf;
    const rows = sql.exec<{ id: number; state: string; usage: string | null }>(
      "SELECT id, state, usage FROM host_id JOIN host USING (name) LEFT JOIN host_usage USING (id) ORDER BY id",
    );
    for (const { id, state, usage } of rows) {
      const { lasting, usage: earlier } = partsOf({ ...EARLIER, ...JSON.parse(state) });
      this.#know(id, lasting, usage === null ? earlier : JSON.parse(usage));
    }
  }

  all(): CandidateHost[] {
    return [...this.#all.values()];
  }

  get(host: string): CandidateHost | undefined {
    return this.#all.get(host);
  }

  /** Takes a host's word on itself, unless a later one is here, and writes what is other than it was. */
  update(state: HostState): void {
    const known = this.#all.get(state.host);
    if (Math.max(known?.seq ?? 0, this.#removed.get(state.host) ?? 0) >= state.seq) return;
    const { lasting, usage } = partsOf(state);
    const before = known && partsOf(stateOf(known));
    const id = known?.id ?? this.#newId(state.host);
    this.#know(id, lasting, usage);
    const isSame = before && isDeepStrictEqual(withoutMetrics(before.lasting), withoutMetrics(lasting));
    if (!isSame) this.#sql.exec("INSERT OR REPLACE INTO host VALUES (?, ?)", state.host, JSON.stringify(lasting));
    if (isSame && isDeepStrictEqual(withoutTime(before.usage), withoutTime(usage))) return;
    this.#sql.exec("INSERT OR REPLACE INTO host_usage VALUES (?, ?)", id, JSON.stringify(usage));
  }

  /** Forgets a host; `seq` is its last word. */
  remove(host: string, seq: number): void {
    this.#removed.set(host, seq);
    this.#all.delete(host);
    this.#sql.exec("DELETE FROM host_usage WHERE id = (SELECT id FROM host_id WHERE name = ?)", host);
    this.#sql.exec("DELETE FROM host WHERE name = ?", host);
    this.#sql.exec("DELETE FROM host_id WHERE name = ?", host);
  }

  /** Counts on a server's going to a host, in memory only, so that the next choice spreads; its own word replaces it. */
  expect(name: string, wanted: Resources): void {
    const host = this.#all.get(name);
    if (!host) return;
    const used = {
      vcpus: host.used.vcpus + wanted.vcpus,
      memory_mb: host.used.memory_mb + wanted.memory_mb,
      disk_gb: host.used.disk_gb + wanted.disk_gb,
      instances: host.used.instances + 1,
    };
    this.#all.set(name, { ...host, used, io_ops: host.io_ops + 1 });
  }

  /** Takes up where the hosts belong now. */
  place(): void {
    for (const [name, host] of this.#all) {
      const { zone, aggregates } = this.#placeOf(name);
      if (zone !== host.zone || aggregates !== host.aggregates) this.#all.set(name, { ...host, zone, aggregates });
    }
  }

  /** All are made here, and in one order, so that they are of one shape: a decision asks thousands of them. */
  #know(id: number, lasting: Lasting, usage: Usage): void {
    const { zone, aggregates } = this.#placeOf(lasting.host);
    const inventory = this.#shared(lasting.inventory);
    this.#all.set(lasting.host, { ...EARLIER, ...lasting, ...usage, inventory, id, zone, aggregates });
  }

  #shared({ metrics, ...inventory }: Inventory): Inventory {
    const shared = this.#pool.share(inventory);
    return metrics === undefined ? shared : { ...shared, metrics };
  }

  #newId(host: string): number {
    return this.#sql.exec<{ id: number }>("INSERT INTO host_id (name) VALUES (?) RETURNING id", host).one().id;
  }
}

/** The word of which it is known. */
function stateOf({ id: _, zone: __, aggregates: ___, ...state }: CandidateHost): HostState {
  return state;
}
