/** What a host's object keeps of its service (nova: objects.Service, and the host's part of objects.ComputeNode). */
import type { Config } from "../config.ts";
import type { Inventory } from "../protocol/guest.ts";
import type { ServiceStatus } from "../scheduler/host-state.ts";
import { heard, type Service } from "./service.ts";

/** All that goes when the service is deleted. */
const KEYS = {
  service: "service",
  told: "told",
  failedBuilds: "failed_builds",
  agentKey: "agent_key",
  lease: "lease",
} as const;

export class ServiceRecord {
  readonly #kv: DurableObjectStorage["kv"];
  /** A key that was asked for before the last time is not kept. */
  #keysForgotten = 0;

  constructor(kv: DurableObjectStorage["kv"]) {
    this.#kv = kv;
  }

  /** Null before the agent first said hello. */
  get(): Service | null {
    return this.#kv.get<Service>(KEYS.service) ?? null;
  }

  change(service: Service, change: Partial<ServiceStatus>): void {
    this.#kv.put(KEYS.service, { ...service, ...change } satisfies Service);
  }

  /** Writes nothing when it is as it was. */
  saveInventory(inventory: Inventory, config: Config): void {
    const known = this.get();
    const service = heard(known, inventory, config);
    if (JSON.stringify(service) !== JSON.stringify(known)) this.#kv.put(KEYS.service, service);
  }

  /** Builds that failed since the last that did not (nova: stats.build_failed, build_succeeded). */
  failedBuilds(): number {
    return this.#kv.get<number>(KEYS.failedBuilds) ?? 0;
  }

  countBuild(succeeded: boolean): void {
    if (succeeded) this.#kv.delete(KEYS.failedBuilds);
    else this.#kv.put(KEYS.failedBuilds, this.failedBuilds() + 1);
  }

  /** The lease that its agent was told last, and keeps, in seconds; null: its guests run on whatever happens. */
  lease(): number | null {
    return this.#kv.get<number>(KEYS.lease) ?? null;
  }

  keepLease(lease: number | null): void {
    if (lease === this.lease()) return;
    if (lease === null) this.#kv.delete(KEYS.lease);
    else this.#kv.put(KEYS.lease, lease);
  }

  /** The gist of what the scheduler was last told. */
  told(): string | null {
    return this.#kv.get<string>(KEYS.told) ?? null;
  }

  tell(gist: string): void {
    if (this.told() !== gist) this.#kv.put(KEYS.told, gist);
  }

  /**
   * The agent's public key. Identity is asked once for each host and not at each dial: a fleet that comes back at one
   * moment must not meet in one object. A host without a service leaves no trace.
   */
  async agentKey(ask: () => Promise<string | null>): Promise<string | null> {
    const known = this.#kv.get<string>(KEYS.agentKey);
    if (known !== undefined) return known;
    const asked = this.#keysForgotten;
    const key = await ask();
    const isCurrent = asked === this.#keysForgotten && this.get() !== null;
    if (key !== null && isCurrent) this.#kv.put(KEYS.agentKey, key);
    return key;
  }

  forgetAgentKey(): void {
    this.#keysForgotten += 1;
    this.#kv.delete(KEYS.agentKey);
  }

  forget(): void {
    this.#keysForgotten += 1;
    for (const key of Object.values(KEYS)) this.#kv.delete(key);
  }
}
