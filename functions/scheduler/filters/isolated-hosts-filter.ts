import type { Filter } from "./filter.ts";

/** Some images run on some hosts only, and nothing else does there (nova/scheduler/filters/isolated_hosts_filter.py). */
export const IsolatedHostsFilter: Filter = {
  name: "IsolatedHostsFilter",
  run_on_rebuild: true,
  ask({ image }, { ISOLATED_HOSTS, ISOLATED_IMAGES, RESTRICT_ISOLATED_HOSTS_TO_ISOLATED_IMAGES }) {
    const isolated = ISOLATED_IMAGES.includes(image.id);
    if (!isolated && !RESTRICT_ISOLATED_HOSTS_TO_ISOLATED_IMAGES) return null;
    const hosts = new Set(ISOLATED_HOSTS);
    if (!isolated && hosts.size === 0) return null;
    return ({ host }) => {
      if (isolated) return hosts.has(host) ? null : "it is not for isolated images";
      return hosts.has(host) ? "it is for isolated images only" : null;
    };
  },
};
