/** The address that this host is known by among its neighbours (nova: my_ip). */
import { networkInterfaces } from "node:os";

/** The first one that is not the host's own loop, IPv4 before IPv6; undefined when it has none. */
export function hostIp(interfaces = networkInterfaces()): string | undefined {
  const all = Object.values(interfaces).flatMap((addresses = []) => addresses);
  // A link-local one means nothing without its link.
  const usable = all.filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address));
  return (usable.find(({ family }) => family === "IPv4") ?? usable[0])?.address;
}
