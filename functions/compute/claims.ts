/** What a host has, what is taken of it, and whether one more fits (nova: resource_tracker, claims, placement inventory). */
import type { Inventory } from "../protocol/guest.ts";
import type { Flavor } from "./flavor.ts";

const MIB_PER_GIB = 1024;

/** vcpus; MiB; GiB. */
export type Resources = { vcpus: number; memory_mb: number; disk_gb: number };

export type Ratios = {
  CPU_ALLOCATION_RATIO: number;
  RAM_ALLOCATION_RATIO: number;
  DISK_ALLOCATION_RATIO: number;
  RESERVED_HOST_MEMORY_MB: number;
};

/** What a server takes of its host (nova/scheduler/utils.py: resources_from_flavor), whatever of it is asked for. */
export function resourcesOf({ vcpus, ram, disk, ephemeral, swap }: Flavor): Resources {
  return { vcpus, memory_mb: ram, disk_gb: disk + ephemeral + Math.ceil(swap / MIB_PER_GIB) };
}

/** What may be claimed on a host in all: (total - reserved) x ratio. */
export function capacity(inventory: Inventory, ratios: Ratios): Resources {
  const memory_mb = Math.max(0, inventory.memory_mb - ratios.RESERVED_HOST_MEMORY_MB);
  return {
    vcpus: Math.floor(inventory.vcpus * ratios.CPU_ALLOCATION_RATIO),
    memory_mb: Math.floor(memory_mb * ratios.RAM_ALLOCATION_RATIO),
    disk_gb: Math.floor(inventory.local_gb * ratios.DISK_ALLOCATION_RATIO),
  };
}

/** The resources that `wanted` does not find, by Placement's class names; empty when it fits. */
export function lacking(capacity: Resources, used: Resources, wanted: Resources): string[] {
  const lacks: string[] = [];
  if (used.vcpus + wanted.vcpus > capacity.vcpus) lacks.push("VCPU");
  if (used.memory_mb + wanted.memory_mb > capacity.memory_mb) lacks.push("MEMORY_MB");
  if (used.disk_gb + wanted.disk_gb > capacity.disk_gb) lacks.push("DISK_GB");
  return lacks;
}
