import { allows } from "../../project/groups.ts";
import type { Filter } from "./filter.ts";

/** No more of the group on one host than its rule says (nova/scheduler/filters/affinity_filter.py). */
export const ServerGroupAntiAffinityFilter: Filter = {
  name: "ServerGroupAntiAffinityFilter",
  ask({ group }) {
    if (group?.policy !== "anti-affinity") return null;
    return ({ host }) => (allows(group, host) ? null : `${group.hosts[host]} of the group are here`);
  },
};

/** The host where the group is, once one of it is somewhere (nova/scheduler/filters/affinity_filter.py). */
export const ServerGroupAffinityFilter: Filter = {
  name: "ServerGroupAffinityFilter",
  ask({ group }) {
    if (group?.policy !== "affinity") return null;
    return ({ host }) => (allows(group, host) ? null : `the group is on ${Object.keys(group.hosts).join(", ")}`);
  },
};
