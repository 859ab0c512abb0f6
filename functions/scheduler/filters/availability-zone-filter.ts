import type { Filter } from "./filter.ts";

/** The host is in the zone that was asked for (nova-2023.1: scheduler/filters/availability_zone_filter.py). */
export const AvailabilityZoneFilter: Filter = {
  name: "AvailabilityZoneFilter",
  passes: ({ zone }, { availability_zone }) => availability_zone === null || zone === availability_zone,
};
