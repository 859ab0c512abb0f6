import { leastOf } from "../aggregate-values.ts";
import type { Check, Filter } from "./filter.ts";

const below =
  (most: (host: Parameters<Check>[0]) => number): Check =>
  (host) =>
    host.used.instances < most(host) ? null : `${host.used.instances} servers are here`;

/** Fewer servers than MAX_INSTANCES_PER_HOST (nova/scheduler/filters/num_instances_filter.py). */
export const NumInstancesFilter: Filter = {
  name: "NumInstancesFilter",
  ask: (_, { MAX_INSTANCES_PER_HOST }) => below(() => MAX_INSTANCES_PER_HOST),
};

/** As well, and an aggregate's `max_instances_per_host` goes first. */
export const AggregateNumInstancesFilter: Filter = {
  name: "AggregateNumInstancesFilter",
  ask: (_, { MAX_INSTANCES_PER_HOST }) =>
    below((host) => leastOf(host, "max_instances_per_host", MAX_INSTANCES_PER_HOST)),
};
