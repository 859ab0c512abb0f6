/**
 * What this host has, what its own options say of it, and what its monitors measure (nova: the host's half of
 * resource_tracker.py). Told with every hello, and in between when it says something new.
 */
import type { FromAgent } from "../functions/protocol/frames.ts";
import { type Inventory, inventory } from "../functions/protocol/guest.ts";
import { type Metrics, type ResourceOptions, resourceOptions } from "../functions/protocol/resources.ts";
import type { Driver } from "./drivers/driver.ts";
import { hostIp } from "./host-ip.ts";
import type { Measuring } from "./monitors/measuring.ts";

export type ResourceTrackerOptions = {
  driver: Pick<Driver, "getAvailableResource">;
  measuring: Measuring;
  /** Of the agent's options those that resourceOptions has. */
  config: ResourceOptions;
  /** Where guests may come in from other hosts; null: through the edge only. */
  inbound?: Inventory["migration_inbound"] | null;
  /** Sends a frame when the link is up; false when it is not. */
  send(frame: FromAgent): boolean;
};

export class ResourceTracker {
  readonly #options: ResourceTrackerOptions;
  readonly #said: ResourceOptions;
  #told: Inventory | undefined;

  constructor(options: ResourceTrackerOptions) {
    this.#options = options;
    this.#said = resourceOptions.parse(options.config);
  }

  /** What a hello says, which is what the edge then knows. Rejects when the hypervisor cannot be asked. */
  async inventory(): Promise<Inventory> {
    this.#told = await this.#resources();
    return this.#told;
  }

  /** nova: update_available_resource. Sends the inventory when the edge does not know it yet. */
  async update(): Promise<void> {
    const now = await this.#resources();
    if (this.#told && !isNews(this.#told, now)) return;
    if (this.#options.send({ t: "inventory", inventory: now })) this.#told = now;
  }

  async #resources(): Promise<Inventory> {
    const { driver, measuring } = this.#options;
    const [found, metrics] = await Promise.all([driver.getAvailableResource(), measuring.measure()]);
    const host_ip = hostIp();
    const { inbound } = this.#options;
    const checked = inventory.safeParse({
      ...found,
      ...(host_ip === undefined ? {} : { host_ip }),
      ...(inbound ? { migration_inbound: inbound } : {}),
      ...(Object.keys(this.#said).length > 0 ? { options: this.#said } : {}),
      ...(metrics ? { metrics } : {}),
    });
    if (checked.success) return checked.data;
    // The edge would end the link, and the reason would be there and not here.
    throw new Error(`the hypervisor tells of a wrong ${checked.error.issues[0]?.path.join(".") ?? "?"}`);
  }
}

/** Metrics change all the time; a frame for each change would have an idle host's object at the edge wake every minute. */
export function isNews({ metrics: was = {}, ...before }: Inventory, { metrics: is = {}, ...now }: Inventory): boolean {
  if (JSON.stringify(before) !== JSON.stringify(now)) return true;
  const names = new Set([...Object.keys(was), ...Object.keys(is)]);
  return [...names].some((name) => moved(name, was, is));
}

/** A percentage by more than a point; all else by more than a hundredth of itself, be it a fraction or a clock. */
function moved(name: string, was: Metrics, is: Metrics): boolean {
  const [a, b] = [was[name], is[name]];
  if (a === undefined || b === undefined) return true;
  const least = name.endsWith(".percent") ? 1 : Math.max(Math.abs(a), Math.abs(b)) / 100;
  return Math.abs(a - b) > least;
}
