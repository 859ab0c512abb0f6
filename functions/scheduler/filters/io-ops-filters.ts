import { leastOf } from "../aggregate-values.ts";
import type { Check, Filter } from "./filter.ts";

const below =
  (most: (host: Parameters<Check>[0]) => number): Check =>
  (host) =>
    host.io_ops < most(host) ? null : `${host.io_ops} guests are being built or copied`;

/** Fewer guests are being built, rebuilt or copied than MAX_IO_OPS_PER_HOST (nova/scheduler/filters/io_ops_filter.py). */
export const IoOpsFilter: Filter = {
  name: "IoOpsFilter",
  ask: (_, { MAX_IO_OPS_PER_HOST }) => below(() => MAX_IO_OPS_PER_HOST),
};

/** As well, and an aggregate's `max_io_ops_per_host` goes first. */
export const AggregateIoOpsFilter: Filter = {
  name: "AggregateIoOpsFilter",
  ask: (_, { MAX_IO_OPS_PER_HOST }) => below((host) => leastOf(host, "max_io_ops_per_host", MAX_IO_OPS_PER_HOST)),
};
