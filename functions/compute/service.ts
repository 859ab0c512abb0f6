/** What a `Host` keeps of itself as a compute service (nova: objects.Service and ComputeNode in one). Pure. */
import type { Config } from "../config.ts";
import type { Inventory } from "../protocol/guest.ts";
import type { ServiceStatus } from "../scheduler/host-state.ts";
import { type AllocationRatios, capacity, type Room, ratiosOf, reservedOf, totalOf } from "./claims.ts";

/** `inventory` without its metrics, which change all the time. `ratios`: those in force when it was told. */
export type Service = {
  uuid: string;
  created_at: string;
  inventory: Inventory;
  ratios?: AllocationRatios;
} & Partial<ServiceStatus>;

/** The service as it is once the agent told this, its first word or a later one. */
export function heard(known: Service | null, { metrics: _, ...inventory }: Inventory, config: Config): Service {
  const ratios = ratiosOf(inventory.options, config, known?.ratios);
  const made = known ?? { uuid: crypto.randomUUID(), created_at: new Date().toISOString() };
  return { ...made, inventory, ratios };
}

/** What it has, and what of it may be claimed, by the options of now. */
export function roomOf(
  { inventory, ratios: kept }: Service,
  config: Config,
): Omit<Room, "used"> & {
  ratios: AllocationRatios;
} {
  const total = totalOf(inventory);
  const ratios = ratiosOf(inventory.options, config, kept);
  return { total, capacity: capacity(total, reservedOf(inventory.options, config), ratios), ratios };
}
