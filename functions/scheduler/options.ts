/** The scheduler's options in wrangler.toml's [vars]: Nova's names in upper case ([scheduler], [filter_scheduler], [metrics]). */
import { z } from "zod";

const names = z.string().transform((text) => text.split(/[\s,]+/).filter((name) => name !== ""));
const multiplier = z.coerce.number();
const seconds = z.coerce.number().min(0.01).max(60);
const count = (min: number) =>
  z.coerce
    .number()
    .int()
    .min(min)
    .max(2 ** 31 - 1);

/** `name=1.5, other=-1`: a ratio for each. */
const ratios = z.string().transform((text, context) => {
  const items = text.split(",").map((item) => item.trim());
  return items
    .filter((item) => item !== "")
    .map((item) => {
      const [name = "", ratio = ""] = item.split("=").map((part) => part.trim());
      if (name === "" || ratio === "" || !Number.isFinite(Number(ratio))) {
        context.addIssue({ code: "custom", message: "It is no list of name=number." });
      }
      return { name, ratio: Number(ratio) };
    });
});

export const SCHEDULER_OPTIONS = {
  /** Collections of filters: all_filters, folders, and Name=BINDING:pass|fail ([filter_scheduler]available_filters). */
  SCHEDULER_AVAILABLE_FILTERS: names,
  /** Filters by name, in the order they run ([filter_scheduler]enabled_filters). */
  SCHEDULER_ENABLED_FILTERS: names,
  /** As SCHEDULER_AVAILABLE_FILTERS, with all_weighers. */
  SCHEDULER_AVAILABLE_WEIGHERS: names,
  /** Weighers by name, or all_weighers ([filter_scheduler]weight_classes). */
  SCHEDULER_WEIGHT_CLASSES: names,
  /** Seconds that a bound filter or weigher may take before it has failed. */
  SCHEDULER_BINDING_TIMEOUT: seconds,
  /** The choice is at random among so many of the best. */
  HOST_SUBSET_SIZE: count(1),
  SHUFFLE_BEST_SAME_WEIGHED_HOSTS: z.stringbool(),
  /** Hosts tried for one build: the best and MAX_ATTEMPTS - 1 alternates. */
  MAX_ATTEMPTS: count(1).max(100),
  /** Whether projects that an aggregate's filter_tenant_id* names are placed on its hosts only. */
  LIMIT_TENANTS_TO_PLACEMENT_AGGREGATE: z.stringbool(),
  /** Whether a project that no aggregate names finds no host. */
  PLACEMENT_AGGREGATE_REQUIRED_FOR_TENANTS: z.stringbool(),
  /** Whether aggregates with trait:* in their metadata are for those only who require these traits. */
  ENABLE_ISOLATED_AGGREGATE_FILTERING: z.stringbool(),
  MAX_IO_OPS_PER_HOST: count(0),
  MAX_INSTANCES_PER_HOST: count(1),
  /** Hosts by name, and images by id, that are for each other only. */
  ISOLATED_HOSTS: names,
  ISOLATED_IMAGES: names,
  RESTRICT_ISOLATED_HOSTS_TO_ISOLATED_IMAGES: z.stringbool(),
  /** The architecture of images that do not say theirs; empty: any. */
  IMAGE_PROPERTIES_DEFAULT_ARCHITECTURE: z.string().max(64),
  /** Only image properties of this namespace are looked at; empty: all. */
  AGGREGATE_IMAGE_PROPERTIES_ISOLATION_NAMESPACE: z.string().max(255),
  AGGREGATE_IMAGE_PROPERTIES_ISOLATION_SEPARATOR: z.string().max(8),
  RAM_WEIGHT_MULTIPLIER: multiplier,
  CPU_WEIGHT_MULTIPLIER: multiplier,
  DISK_WEIGHT_MULTIPLIER: multiplier,
  IO_OPS_WEIGHT_MULTIPLIER: multiplier,
  HYPERVISOR_VERSION_WEIGHT_MULTIPLIER: multiplier,
  NUM_INSTANCES_WEIGHT_MULTIPLIER: multiplier,
  IMAGE_PROPS_WEIGHT_MULTIPLIER: multiplier,
  /** Image properties and how much each counts: name=number; empty: all, once. */
  IMAGE_PROPS_WEIGHT_SETTING: ratios,
  PCI_WEIGHT_MULTIPLIER: multiplier.min(0),
  SOFT_AFFINITY_WEIGHT_MULTIPLIER: multiplier,
  SOFT_ANTI_AFFINITY_WEIGHT_MULTIPLIER: multiplier,
  BUILD_FAILURE_WEIGHT_MULTIPLIER: multiplier,
  CROSS_CELL_MOVE_WEIGHT_MULTIPLIER: multiplier,
  /** [metrics]weight_multiplier. */
  METRICS_WEIGHT_MULTIPLIER: multiplier,
  /** [metrics]weight_setting: metrics and their ratios, name=number. */
  METRICS_WEIGHT_SETTING: ratios,
  /** [metrics]required: whether a host without one of them fails the request. */
  METRICS_REQUIRED: z.stringbool(),
  /** [metrics]weight_of_unavailable: what it weighs otherwise. */
  METRICS_WEIGHT_OF_UNAVAILABLE: multiplier,
} as const;
