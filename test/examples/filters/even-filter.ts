/** An example of a filter of one's own: see “Extending the scheduler” in the README. */
import type { Filter } from "../../../functions/scheduler/filters/filter.ts";

/** Servers with the hint `even: true` go to hosts whose names end in an even digit. */
export const EvenFilter: Filter = {
  name: "EvenFilter",
  ask({ hints }) {
    if (hints.even?.[0] !== "true") return null;
    return ({ host }) => (/[02468]$/.test(host) ? null : "its name is not even");
  },
};
