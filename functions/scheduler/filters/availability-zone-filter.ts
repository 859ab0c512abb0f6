import type { Filter } from "./filter.ts";

/** The host is in the zone that was asked for (nova-2023.1: scheduler/filters/availability_zone_filter.py). */
export const AvailabilityZoneFilter: Filter = {
  name: "AvailabilityZoneFilter",
  ask: ({ availability_zone }) =>
    availability_zone === null
      ? null
      : ({ zone }) => (zone === availability_zone ? null : `it is in the zone ${zone}, not in ${availability_zone}`),
};
