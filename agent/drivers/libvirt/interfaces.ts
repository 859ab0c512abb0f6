/** The interfaces of a live guest, with the addresses that are known of them (nova has them of Neutron). */
import {
  type GuestInterface,
  guestInterface,
  MAX_ADDRESSES,
  MAX_INTERFACES,
  POWER_STATE,
} from "../../../functions/protocol/guest.ts";
import type { GuestNetworks } from "../driver.ts";
import { unless, unlessRefused, VIR_ERR } from "./errors.ts";
import { agentOf, askAgent } from "./guest-agent.ts";
import { find, listOurs } from "./guests.ts";
import { INTERFACE, networkOf } from "./interface-xml.ts";
import { ADDRESS_SOURCE, type Domain, type InterfaceAddresses, type Libvirt } from "./procedures.ts";
import { readElements } from "./xml.ts";

const AGENT_SECONDS = 5;

/** Of all guests of ours that run. One is asked at a time: an agent that is silent holds up one call to libvirt alone. */
export async function networksOf(libvirt: Libvirt): Promise<GuestNetworks[]> {
  const listed: GuestNetworks[] = [];
  for (const guest of await listOurs(libvirt)) {
    const domain = guest.power_state === POWER_STATE.RUNNING ? await find(libvirt, guest.uuid) : null;
    const interfaces = domain && (await interfacesOf(libvirt, domain).catch(unless(VIR_ERR.NO_DOMAIN)));
    if (interfaces) listed.push({ ...guest, interfaces });
  }
  return listed;
}

/**
 * The guest's agent knows its addresses best; next, who gave it one by DHCP; last, who of the host's kernel has talked
 * to it. A source that knows nothing, or that the hypervisor has not, gives way to the next.
 */
async function interfacesOf(libvirt: Libvirt, domain: Domain): Promise<GuestInterface[]> {
  const elements = readElements(await libvirt.xml(domain));
  const interfaces = elements.filter(({ path }) => path === INTERFACE);
  if (interfaces.length === 0) return [];
  const known = await addressesOf(libvirt, domain, agentOf(elements)?.connected === true);
  return interfaces.slice(0, MAX_INTERFACES).flatMap((it) => {
    const mac = elements.find(({ path, parent }) => parent === it && path === `${INTERFACE}/mac`)?.attributes.address;
    const told = guestInterface.safeParse({
      network: networkOf(elements, it),
      mac: mac?.toLowerCase(),
      addresses: known.get(mac?.toLowerCase() ?? "") ?? [],
    });
    return told.success ? [told.data] : [];
  });
}

async function addressesOf(libvirt: Libvirt, domain: Domain, hasAgent: boolean): Promise<Map<string, string[]>> {
  const { AGENT, LEASE, ARP } = ADDRESS_SOURCE;
  for (const source of hasAgent ? [AGENT, LEASE, ARP] : [LEASE, ARP]) {
    const ask = () => libvirt.interfaceAddresses(domain, source);
    const told = await (source === AGENT ? askAgent(libvirt, domain, AGENT_SECONDS, ask) : ask()).catch(unlessRefused);
    const known = byMac(told ?? []);
    if (known.size > 0) return known;
  }
  return new Map();
}

/** By MAC in small letters. An interface without an address is left out, and so is an address of no use from elsewhere. */
export function byMac(told: readonly InterfaceAddresses[]): Map<string, string[]> {
  const known = new Map<string, string[]>();
  for (const { mac, addresses } of told) {
    const valid = guestInterface.shape.addresses.element;
    const useful = addresses.filter(
      (it) => valid.safeParse(it).success && !/^(169\.254\.|127\.|::1$|fe[89ab])/i.test(it),
    );
    if (mac === null || useful.length === 0) continue;
    const all = [...(known.get(mac.toLowerCase()) ?? []), ...useful];
    known.set(mac.toLowerCase(), [...new Set(all)].toSorted().slice(0, MAX_ADDRESSES));
  }
  return known;
}
