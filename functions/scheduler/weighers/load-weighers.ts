/** What a host does, and how well it did lately. */
import type { Weigher } from "./weigher.ts";

/** Builds and copies under way; the multiplier is negative, so that fewer are better (nova/scheduler/weights/io_ops.py). */
export const IoOpsWeigher: Weigher = {
  name: "IoOpsWeigher",
  option: "io_ops_weight_multiplier",
  multiplier: (config) => config.IO_OPS_WEIGHT_MULTIPLIER,
  minval: 0,
  ask: () => (host) => host.io_ops,
};

/** Servers on the host (nova/scheduler/weights/num_instances.py). */
export const NumInstancesWeigher: Weigher = {
  name: "NumInstancesWeigher",
  option: "num_instances_weight_multiplier",
  multiplier: (config) => config.NUM_INSTANCES_WEIGHT_MULTIPLIER,
  ask: () => (host) => host.used.instances,
};

/** Builds that failed since the last that did not: fewer are better (nova/scheduler/weights/compute.py). */
export const BuildFailureWeigher: Weigher = {
  name: "BuildFailureWeigher",
  option: "build_failure_weight_multiplier",
  multiplier: (config) => config.BUILD_FAILURE_WEIGHT_MULTIPLIER,
  ask: () => (host) => -host.failed_builds,
};
