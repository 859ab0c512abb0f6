import { allows } from "../../project/groups.ts";
import type { Filter } from "./filter.ts";

/** No more of the group on one host than its rule says (nova/scheduler/filters/affinity_filter.py). */
export const ServerGroupAntiAffinityFilter: Filter = {
  name: "ServerGroupAntiAffinityFilter",
  passes: ({ host }, { group }) => group?.policy !== "anti-affinity" || allows(group, host),
};

/** The host where the group is, once one of it is somewhere (nova/scheduler/filters/affinity_filter.py). */
export const ServerGroupAffinityFilter: Filter = {
  name: "ServerGroupAffinityFilter",
  passes: ({ host }, { group }) => group?.policy !== "affinity" || allows(group, host),
};
