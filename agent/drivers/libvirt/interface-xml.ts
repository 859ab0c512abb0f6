/** A guest's interface: the network that its host puts guests in, and the MAC that it keeps there. Pure. */
import { createHash } from "node:crypto";
import type { Hardware, Limits } from "../../../functions/protocol/hardware.ts";
import type { Network } from "../../config.ts";
import { choose, type VirtType } from "./hypervisor.ts";
import { type Element, escapeXml } from "./xml.ts";

export const INTERFACE = "domain/devices/interface";

/**
 * The same for a server wherever it runs. Nova's prefix fa:16:3e would leave 24 bits, in which some 5,000 guests of one
 * bridge meet; so the first byte alone, which says "locally administered", is kept.
 */
export function macOf(uuid: string): string {
  const bytes = createHash("sha256").update(uuid).digest("hex").slice(0, 10).match(/../g) ?? [];
  return ["fa", ...bytes].join(":");
}

type InterfacePlan = { virtType: VirtType; uuid: string; network: Network };

export function interfaceXml({ virtType, uuid, network }: InterfacePlan, { vif_model, limits }: Hardware): string {
  if (network.kind === "none") return "";
  const model = choose(virtType, "vif_model", vif_model);
  const source = "name" in network ? `<source ${network.kind}='${escapeXml(network.name)}'/>` : "";
  // libvirt cannot limit user-mode networking.
  const tune = network.kind === "user" ? "" : bandwidth(limits);
  return `<interface type='${network.kind}'><mac address='${macOf(uuid)}'/>${source}<model type='${model}'/>${tune}</interface>`;
}

/** nova/virt/libvirt/designer.py: set_vif_bandwidth_config. A direction without an average has no limit. */
function bandwidth(limits: Limits = {}): string {
  const one = (direction: "inbound" | "outbound") => {
    const of = (name: "average" | "peak" | "burst") => {
      const value = limits[`vif_${direction}_${name}`];
      return value ? ` ${name}='${value}'` : "";
    };
    return of("average") && `<${direction}${of("average")}${of("peak")}${of("burst")}/>`;
  };
  const both = one("inbound") + one("outbound");
  return both && `<bandwidth>${both}</bandwidth>`;
}

/** The name that the API has for the network of an interface. */
export function networkOf(elements: readonly Element[], it: Element): string {
  const source = elements.find(({ path, parent }) => parent === it && path === `${INTERFACE}/source`)?.attributes;
  return source?.network ?? source?.bridge ?? it.attributes.type ?? "";
}
