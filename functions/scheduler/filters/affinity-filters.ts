/** Near to, or away from, what the user's hints name (nova/scheduler/filters/affinity_filter.py). */
import { BlockList, isIP } from "node:net";
import type { RequestSpec } from "../host-state.ts";
import type { Filter } from "./filter.ts";

/** The hosts of the servers that a hint lists; null when it lists none. */
function hostsOf({ hints, hinted_hosts }: RequestSpec, hint: string): Set<string | null | undefined> | null {
  const servers = hints[hint] ?? [];
  return servers.length === 0 ? null : new Set(servers.map((server) => hinted_hosts[server]));
}

/** A host without the servers of the hint `different_host`. */
export const DifferentHostFilter: Filter = {
  name: "DifferentHostFilter",
  ask(spec) {
    const hosts = hostsOf(spec, "different_host");
    return hosts && (({ host }) => (hosts.has(host) ? "a server of the hint different_host is here" : null));
  },
};

/** A host with one of the servers of the hint `same_host`. */
export const SameHostFilter: Filter = {
  name: "SameHostFilter",
  ask(spec) {
    const hosts = hostsOf(spec, "same_host");
    return hosts && (({ host }) => (hosts.has(host) ? null : "no server of the hint same_host is here"));
  },
};

/** A host whose address is in the network of the hints `build_near_host_ip` and `cidr` (/24 unless told). */
export const SimpleCIDRAffinityFilter: Filter = {
  name: "SimpleCIDRAffinityFilter",
  ask({ hints }) {
    const near = hints.build_near_host_ip?.[0];
    if (near === undefined) return null;
    const cidr = hints.cidr?.[0] ?? "/24";
    const network = networkOf(near, cidr);
    if (network === null) return () => `${near}${cidr} is no network`;
    return ({ inventory: { host_ip } }) => {
      if (host_ip === undefined) return "its address is not known";
      return network.check(host_ip, familyOf(host_ip)) ? null : `its address ${host_ip} is not in ${near}${cidr}`;
    };
  },
};

const familyOf = (address: string) => (isIP(address) === 6 ? "ipv6" : "ipv4");

function networkOf(address: string, cidr: string): BlockList | null {
  const bits = /^\/(\d{1,3})$/.exec(cidr)?.[1];
  if (bits === undefined || Number(bits) > (isIP(address) === 6 ? 128 : 32)) return null;
  const network = new BlockList();
  network.addSubnet(address, Number(bits), familyOf(address));
  return network;
}
