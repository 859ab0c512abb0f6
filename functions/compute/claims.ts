/** What a host has, what is taken of it, and whether one more fits (nova: resource_tracker, claims, placement inventory). */
import type { Config } from "../config.ts";
import type { Inventory } from "../protocol/guest.ts";
import type { ResourceOptions } from "../protocol/resources.ts";
import type { Flavor } from "./flavor.ts";

const MIB_PER_GIB = 1024;

/** vcpus; MiB; GiB. */
export type Resources = { vcpus: number; memory_mb: number; disk_gb: number };
const CLASSES = { vcpus: "VCPU", memory_mb: "MEMORY_MB", disk_gb: "DISK_GB" } as const;
type Class = keyof typeof CLASSES;
const classes = Object.keys(CLASSES) as Class[];

export type AllocationRatios = { cpu: number; ram: number; disk: number };

export type ClaimRequest = Resources & {
  server: string;
  generation: number;
  /** The incarnation that its screen is of, where it comes with the one that it has. */
  screen_since?: number;
  image_properties?: Record<string, string>;
  /** Another size of a server that is here: it is held beside the one that the server has. */
  resizes?: boolean;
};
/**
 * `away`: it is up, and its agent is not connected at the moment. `leaving`: the guest of an earlier incarnation is still
 * there, and its claim with it.
 */
export type ClaimRefused =
  | { kind: "down" }
  | { kind: "away" }
  | { kind: "dismissed" }
  | { kind: "leaving" }
  | { kind: "lacking"; classes: string[] };
/** What a server takes of its host (nova/scheduler/utils.py: resources_from_flavor), whatever of it is asked for. */
export function resourcesOf({ vcpus, ram, disk, ephemeral, swap }: Flavor): Resources {
  return { vcpus, memory_mb: ram, disk_gb: disk + ephemeral + Math.ceil(swap / MIB_PER_GIB) };
}

/** All that the host has, which is also the most that one server may have of it (nova: max_unit), whatever the ratio. */
export function totalOf({ vcpus, memory_mb, local_gb }: Inventory): Resources {
  return { vcpus, memory_mb, disk_gb: local_gb };
}

/**
 * A ratio that is set wins always, the host's own over the deployment's, as who runs one host knows it best; else the
 * host keeps what it has, and one that never had any gets the initial one (nova: _normalize_inventory_from_cn_obj).
 */
export function ratiosOf(
  options: ResourceOptions = {},
  config: Config,
  kept: AllocationRatios | undefined,
): AllocationRatios {
  return {
    cpu:
      options.cpu_allocation_ratio ??
      config.CPU_ALLOCATION_RATIO ??
      kept?.cpu ??
      options.initial_cpu_allocation_ratio ??
      config.INITIAL_CPU_ALLOCATION_RATIO,
    ram:
      options.ram_allocation_ratio ??
      config.RAM_ALLOCATION_RATIO ??
      kept?.ram ??
      options.initial_ram_allocation_ratio ??
      config.INITIAL_RAM_ALLOCATION_RATIO,
    disk:
      options.disk_allocation_ratio ??
      config.DISK_ALLOCATION_RATIO ??
      kept?.disk ??
      options.initial_disk_allocation_ratio ??
      config.INITIAL_DISK_ALLOCATION_RATIO,
  };
}

/** What no guest gets. A part of a GiB of disk is a whole one (nova: convert_mb_to_ceil_gb). */
export function reservedOf(options: ResourceOptions = {}, config: Config): Resources {
  const disk_mb = options.reserved_host_disk_mb ?? config.RESERVED_HOST_DISK_MB;
  return {
    vcpus: options.reserved_host_cpus ?? config.RESERVED_HOST_CPUS,
    memory_mb: options.reserved_host_memory_mb ?? config.RESERVED_HOST_MEMORY_MB,
    disk_gb: Math.ceil(disk_mb / MIB_PER_GIB),
  };
}

/** What may be claimed on a host in all: (total - reserved) x ratio, and never less than nothing. */
export function capacity(total: Resources, reserved: Resources, { cpu, ram, disk }: AllocationRatios): Resources {
  const of = (name: Class, ratio: number) => Math.floor(Math.max(0, total[name] - reserved[name]) * ratio);
  return { vcpus: of("vcpus", cpu), memory_mb: of("memory_mb", ram), disk_gb: of("disk_gb", disk) };
}

/** What there is for one more server. */
export type Room = { total: Resources; capacity: Resources; used: Resources };

/** The resources that `wanted` does not find, by Placement's class names; empty when it fits. None wanted always fits. */
export function lacking({ total, capacity, used }: Room, wanted: Resources): string[] {
  const lacks = (name: Class) => wanted[name] > Math.min(total[name], capacity[name] - used[name]);
  return classes.filter((name) => wanted[name] > 0 && lacks(name)).map((name) => CLASSES[name]);
}
