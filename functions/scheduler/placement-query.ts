/**
 * What Nova asks of Placement before any filter, and so holds whatever filters are enabled, of a forced host too
 * (nova/scheduler/request_filter.py, utils.py resources_from_request_spec). They are shaped as filters, so that a
 * decision tells of them as of those.
 */
import type { Resources } from "../compute/claims.ts";
import { tenantsOf, valuesOf } from "./aggregate-values.ts";
import { NUMATopologyFilter, PciPassthroughFilter } from "./filters/absent-hardware-filters.ts";
import type { Filter } from "./filters/filter.ts";
import { tooLittle } from "./filters/resource-filters.ts";
import type { RequestSpec } from "./host-state.ts";

const CLASSES: readonly (keyof Resources)[] = ["vcpus", "memory_mb", "disk_gb"];

const Resourceful: Filter = {
  name: "placement: resources",
  ask: (spec) => (host) => {
    const { capacity, used } = host;
    // Most hosts have enough, and this is asked of all of them.
    const fits =
      spec.vcpus <= capacity.vcpus - used.vcpus &&
      spec.memory_mb <= capacity.memory_mb - used.memory_mb &&
      spec.disk_gb <= capacity.disk_gb - used.disk_gb;
    return fits ? null : (CLASSES.map((of) => tooLittle(host, spec, of)).find((lack) => lack !== null) ?? null);
  },
};

/** nova: compute_status_filter, by the trait COMPUTE_STATUS_DISABLED. */
const Enabled: Filter = {
  name: "placement: enabled",
  ask:
    () =>
    ({ enabled }) =>
      enabled ? null : "its service is disabled",
};

/** nova: map_az_to_placement_aggregate. The default zone is of no aggregate, and so forbids a forced host nothing. */
const Zone: Filter = {
  name: "placement: availability zone",
  ask({ availability_zone, requested_host }, { DEFAULT_AVAILABILITY_ZONE }) {
    if (availability_zone === null) return null;
    if (requested_host !== null && availability_zone === DEFAULT_AVAILABILITY_ZONE) return null;
    return ({ zone }) => (zone === availability_zone ? null : `it is in the zone ${zone}`);
  },
};

/** nova: require_tenant_aggregate. A project that no aggregate names may be anywhere, unless it must be named. */
const Tenant: Filter = {
  name: "placement: tenant aggregates",
  ask({ project_id, has_aggregate = false }, config) {
    if (!config.LIMIT_TENANTS_TO_PLACEMENT_AGGREGATE) return null;
    if (!has_aggregate && !config.PLACEMENT_AGGREGATE_REQUIRED_FOR_TENANTS) return null;
    return ({ aggregates }) =>
      tenantsOf(aggregates).includes(project_id) ? null : "none of its aggregates is for the project";
  },
};

/** Traits that a flavor or an image requires: `trait:CUSTOM_FAST=required`. */
function traitsOf({ flavor, image }: RequestSpec): string[] {
  return [...Object.entries(flavor.extra_specs), ...Object.entries(image.properties)].flatMap(([key, value]) =>
    /^trait\w*:/.test(key) && value === "required" ? [key] : [],
  );
}

/** nova: isolate_aggregates. An aggregate that requires traits takes only who requires them all. */
const Isolated: Filter = {
  name: "placement: isolated aggregates",
  ask(spec, { ENABLE_ISOLATED_AGGREGATE_FILTERING }) {
    if (!ENABLE_ISOLATED_AGGREGATE_FILTERING) return null;
    const required = new Set(traitsOf(spec).map((key) => key.replace(/^trait\w*:/, "trait:")));
    return ({ aggregates }) => {
      for (const { name, metadata } of aggregates) {
        const missing = Object.keys(metadata).find((key) => key.startsWith("trait:") && !required.has(key));
        if (missing !== undefined) return `its aggregate ${name} is for those who require ${missing}`;
      }
      return null;
    };
  },
};

/**
 * Resources and traits of other kinds than there are here. A host has the traits that its aggregates require, as an
 * operator says them nowhere else.
 */
const Known: Filter = {
  name: "placement: resource classes and traits",
  ask(spec) {
    const custom = Object.keys(spec.flavor.extra_specs).find((key) => /^resources\w*:/.test(key));
    if (custom !== undefined) return () => `${custom}: only what the flavor itself says can be asked for here`;
    const traits = traitsOf(spec);
    if (traits.length === 0) return null;
    return (host) => {
      const missing = traits.find((key) => valuesOf(host, key.replace(/^trait\w*:/, "trait:")).length === 0);
      return missing === undefined ? null : `it does not have the ${missing}`;
    };
  },
};

export const PLACEMENT: readonly Filter[] = [
  Enabled,
  Zone,
  Tenant,
  Isolated,
  Known,
  { ...NUMATopologyFilter, name: "placement: NUMA" },
  { ...PciPassthroughFilter, name: "placement: devices" },
  Resourceful,
];
