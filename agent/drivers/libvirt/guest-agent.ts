/** QEMU's agent in a guest. What it says is the guest's word, and it may never say it. */
import { GUEST_AGENT } from "./device-xml.ts";
import { isLibvirtError, unless, VIR_ERR } from "./errors.ts";
import type { Domain, Libvirt } from "./procedures.ts";
import type { Element } from "./xml.ts";

const CHANNEL = "domain/devices/channel/target";

/** Whether the guest has a channel for an agent; `connected`: and an agent that listens on it, as far as is known. */
export function agentOf(elements: readonly Element[]): { connected: boolean } | null {
  const target = elements.find(({ path, attributes }) => path === CHANNEL && attributes.name === GUEST_AGENT);
  return target ? { connected: target.attributes.state === "connected" } : null;
}

/** A call that the agent has `seconds` to answer. */
export async function askAgent<T>(
  libvirt: Libvirt,
  domain: Domain,
  seconds: number,
  ask: () => Promise<T>,
): Promise<T> {
  await libvirt.setAgentTimeout(domain, seconds).catch(unless(VIR_ERR.NO_SUPPORT, VIR_ERR.OPERATION_UNSUPPORTED));
  return ask();
}

export const isSilent = (error: unknown) => isLibvirtError(error, VIR_ERR.AGENT_UNRESPONSIVE, VIR_ERR.AGENT_UNSYNCED);
