import { NUMATopologyFilter, PciPassthroughFilter } from "./absent-hardware-filters.ts";
import { DifferentHostFilter, SameHostFilter, SimpleCIDRAffinityFilter } from "./affinity-filters.ts";
import {
  AggregateImagePropertiesIsolation,
  AggregateInstanceExtraSpecsFilter,
  AggregateMultiTenancyIsolation,
  AggregateTypeAffinityFilter,
} from "./aggregate-filters.ts";
import { AllHostsFilter } from "./all-hosts-filter.ts";
import { AvailabilityZoneFilter } from "./availability-zone-filter.ts";
import { ComputeCapabilitiesFilter } from "./compute-capabilities-filter.ts";
import { ComputeFilter } from "./compute-filter.ts";
import type { Filter } from "./filter.ts";
import { ImagePropertiesFilter } from "./image-properties-filter.ts";
import { AggregateIoOpsFilter, IoOpsFilter } from "./io-ops-filters.ts";
import { IsolatedHostsFilter } from "./isolated-hosts-filter.ts";
import { JsonFilter } from "./json-filter.ts";
import { MetricsFilter } from "./metrics-filter.ts";
import { AggregateNumInstancesFilter, NumInstancesFilter } from "./num-instances-filters.ts";
import { CoreFilter, DiskFilter, RamFilter } from "./resource-filters.ts";
import { RetryFilter } from "./retry-filter.ts";
import { ServerGroupAffinityFilter, ServerGroupAntiAffinityFilter } from "./server-group-filters.ts";

/** Every filter in the box (nova: scheduler.filters.all_filters). */
export const ALL_FILTERS: readonly Filter[] = [
  ComputeFilter,
  ComputeCapabilitiesFilter,
  ImagePropertiesFilter,
  ServerGroupAntiAffinityFilter,
  ServerGroupAffinityFilter,
  AggregateImagePropertiesIsolation,
  AggregateInstanceExtraSpecsFilter,
  AggregateIoOpsFilter,
  AggregateMultiTenancyIsolation,
  AggregateNumInstancesFilter,
  AggregateTypeAffinityFilter,
  AllHostsFilter,
  AvailabilityZoneFilter,
  CoreFilter,
  DifferentHostFilter,
  DiskFilter,
  IoOpsFilter,
  IsolatedHostsFilter,
  JsonFilter,
  MetricsFilter,
  NumInstancesFilter,
  NUMATopologyFilter,
  PciPassthroughFilter,
  RamFilter,
  RetryFilter,
  SameHostFilter,
  SimpleCIDRAffinityFilter,
];
