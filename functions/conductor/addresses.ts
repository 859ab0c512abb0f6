/** The addresses of a server's guest, as its host told them. Pure. */
import type { ServerRecord } from "./record.ts";

export type ServerAddress = { version: 4 | 6; addr: string; mac: string };

/** By network. A server that is on no host has none, whatever its guest had where it was. */
export function addressesOf({ host, interfaces = [] }: ServerRecord): Map<string, ServerAddress[]> {
  const networks = new Map<string, ServerAddress[]>();
  for (const { network, mac, addresses } of host === null ? [] : interfaces) {
    const here = addresses.map((addr) => ({ version: addr.includes(":") ? 6 : 4, addr, mac }) as const);
    networks.set(network, [...(networks.get(network) ?? []), ...here]);
  }
  return networks;
}
