/** More free is better: they spread; a negative multiplier packs. */
import type { Weigher } from "./weigher.ts";

const MIB_PER_GIB = 1024;

/** nova/scheduler/weights/ram.py */
export const RAMWeigher: Weigher = {
  name: "RAMWeigher",
  option: "ram_weight_multiplier",
  multiplier: (config) => config.RAM_WEIGHT_MULTIPLIER,
  minval: 0,
  ask: () => (host) => host.capacity.memory_mb - host.used.memory_mb,
};

/** nova/scheduler/weights/cpu.py */
export const CPUWeigher: Weigher = {
  name: "CPUWeigher",
  option: "cpu_weight_multiplier",
  multiplier: (config) => config.CPU_WEIGHT_MULTIPLIER,
  minval: 0,
  ask: () => (host) => host.capacity.vcpus - host.used.vcpus,
};

/** nova/scheduler/weights/disk.py */
export const DiskWeigher: Weigher = {
  name: "DiskWeigher",
  option: "disk_weight_multiplier",
  multiplier: (config) => config.DISK_WEIGHT_MULTIPLIER,
  minval: 0,
  ask: () => (host) => (host.capacity.disk_gb - host.used.disk_gb) * MIB_PER_GIB,
};
