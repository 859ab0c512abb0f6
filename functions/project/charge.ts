/** What a server is charged with against the quota, by its record (nova: quota.py _instances_cores_ram_count). Pure. */
import type { Flavor } from "../compute/flavor.ts";
import type { ServerRecord } from "../conductor/record.ts";
import type { Usage } from "./quota.ts";

const NOTHING: Usage = { instances: 0, cores: 0, ram: 0 };

/** A soft-deleted server is free until it is being restored; one that is resized pays the greater of both sizes. */
export function charge({ vm_state, task_state, flavor, new_flavor, resized }: ServerRecord): Usage {
  if (vm_state === "soft-delete" && task_state !== "restoring") return NOTHING;
  return {
    instances: 1,
    cores: Math.max(flavor.vcpus, new_flavor?.vcpus ?? 0, resized?.flavor.vcpus ?? 0),
    ram: Math.max(flavor.ram, new_flavor?.ram ?? 0, resized?.flavor.ram ?? 0),
  };
}

/** What a server takes more when it is restored, or resized to a flavor; null when it takes nothing more. */
export function growth(record: ServerRecord, to: Flavor | null): Usage | null {
  const now = charge(record);
  const then = charge({ ...record, vm_state: "active", new_flavor: to });
  const more = { instances: then.instances - now.instances, cores: then.cores - now.cores, ram: then.ram - now.ram };
  return more.instances > 0 || more.cores > 0 || more.ram > 0 ? more : null;
}

/** Whether the record itself says so: then nothing need be kept aside for what it asked for. */
export function hasGrown({ task_state, new_flavor, resized }: ServerRecord): boolean {
  return new_flavor !== null || resized != null || task_state === "restoring";
}
