import { CrossCellWeigher, PCIWeigher } from "./alike-weighers.ts";
import { HypervisorVersionWeigher } from "./hypervisor-version-weigher.ts";
import { ImagePropertiesWeigher } from "./image-properties-weigher.ts";
import { BuildFailureWeigher, IoOpsWeigher, NumInstancesWeigher } from "./load-weighers.ts";
import { MetricsWeigher } from "./metrics-weigher.ts";
import { CPUWeigher, DiskWeigher, RAMWeigher } from "./resource-weighers.ts";
import { ServerGroupSoftAffinityWeigher, ServerGroupSoftAntiAffinityWeigher } from "./server-group-weighers.ts";
import type { Weigher } from "./weigher.ts";

/** Every weigher in the box (nova: scheduler.weights.all_weighers). */
export const ALL_WEIGHERS: readonly Weigher[] = [
  RAMWeigher,
  CPUWeigher,
  DiskWeigher,
  IoOpsWeigher,
  NumInstancesWeigher,
  HypervisorVersionWeigher,
  ImagePropertiesWeigher,
  PCIWeigher,
  ServerGroupSoftAffinityWeigher,
  ServerGroupSoftAntiAffinityWeigher,
  BuildFailureWeigher,
  CrossCellWeigher,
  MetricsWeigher,
];
