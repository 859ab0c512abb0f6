import type { Weigher } from "./weigher.ts";

/** Newer hypervisors are better (nova/scheduler/weights/hypervisor_version.py). */
export const HypervisorVersionWeigher: Weigher = {
  name: "HypervisorVersionWeigher",
  option: "hypervisor_version_weight_multiplier",
  multiplier: (config) => config.HYPERVISOR_VERSION_WEIGHT_MULTIPLIER,
  ask: () => (host) => host.inventory.hypervisor_version,
};
