/** A host's attributes by Nova's names, as extra specs and queries ask for them (nova: HostState). Pure. */
import type { CandidateHost } from "./host-state.ts";

const MIB_PER_GIB = 1024;

/** `vcpus` here and in Nova is what the hardware has; totals and what is free are after ratio and reservation. */
export function capabilitiesOf(host: CandidateHost): Readonly<Record<string, unknown>> {
  const { inventory, capacity, used, ratios } = host;
  return {
    ...inventory,
    host: host.host,
    uuid: host.uuid,
    enabled: host.enabled,
    nodename: inventory.hypervisor_hostname,
    total_usable_ram_mb: inventory.memory_mb,
    total_usable_disk_gb: inventory.local_gb,
    free_ram_mb: capacity.memory_mb - used.memory_mb,
    free_disk_mb: (capacity.disk_gb - used.disk_gb) * MIB_PER_GIB,
    disk_mb_used: used.disk_gb * MIB_PER_GIB,
    vcpus_total: inventory.vcpus,
    vcpus_used: used.vcpus,
    memory_mb_used: used.memory_mb,
    local_gb_used: used.disk_gb,
    cpu_allocation_ratio: ratios?.cpu ?? ratio(capacity.vcpus, inventory.vcpus),
    ram_allocation_ratio: ratios?.ram ?? ratio(capacity.memory_mb, inventory.memory_mb),
    disk_allocation_ratio: ratios?.disk ?? ratio(capacity.disk_gb, inventory.local_gb),
    num_instances: used.instances,
    running_vms: used.instances,
    num_io_ops: host.io_ops,
    failed_builds: host.failed_builds,
    availability_zone: host.zone,
    updated: host.updated_at,
  };
}

/** What lies below `path`; undefined when nothing does. */
export function capability(of: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  let at: unknown = of;
  for (const name of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
    at = Object.entries(at).find(([key]) => key === name)?.[1];
  }
  return at;
}

const ratio = (capacity: number, total: number) => (total === 0 ? 0 : capacity / total);
