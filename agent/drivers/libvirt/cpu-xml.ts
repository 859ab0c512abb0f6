/** A guest's CPUs: model, topology and share of the host's (nova/virt/libvirt/driver.py: _get_guest_cpu_config). Pure. */
import type { Hardware, Limit, Limits } from "../../../functions/protocol/hardware.ts";
import type { VirtType } from "./hypervisor.ts";
import type { LibvirtOptions } from "./libvirt-driver.ts";
import { escapeXml } from "./xml.ts";

export type CpuOptions = Pick<LibvirtOptions, "cpu_mode" | "cpu_models" | "cpu_model_extra_flags">;

/**
 * TCG's default CPU lacks what x86-64-v2 systems need, so there it is all that QEMU has; under KVM it is the host's, as
 * in Nova. Xen and libvirt's mock choose for themselves.
 */
export function cpuXml(virtType: VirtType, options: CpuOptions, topology: Hardware["cpu_topology"]): string {
  const inside = topology
    ? `<topology sockets='${topology.sockets}' cores='${topology.cores}' threads='${topology.threads}'/>`
    : "";
  const mode = options.cpu_mode ?? (virtType === "kvm" ? "host-model" : "maximum");
  if (mode === "none" || virtType === "xen" || virtType === "test") return inside && `<cpu>${inside}</cpu>`;
  const [model = ""] = mode === "custom" ? options.cpu_models : [];
  const named = model === "" ? "" : `<model fallback='forbid'>${escapeXml(model)}</model>`;
  return `<cpu mode='${mode}'${named && " match='exact' check='partial'"}>${named}${inside}${options.cpu_model_extra_flags.map(feature).join("")}</cpu>`;
}

/** nova: a flag after a minus is one that the guest is not to have. */
function feature(flag: string): string {
  const policy = flag.startsWith("-") ? "disable" : "require";
  return `<feature policy='${policy}' name='${escapeXml(flag.replace(/^[+-]/, "").toLowerCase())}'/>`;
}

const TUNED = {
  cpu_shares: "shares",
  cpu_period: "period",
  cpu_quota: "quota",
} as const satisfies Partial<Record<Limit, string>>;

/** Empty when nothing is limited. */
export function cpuTune(limits: Limits = {}): string {
  const told = Object.entries(TUNED).map(([name, element]) => {
    const value = limits[name as keyof typeof TUNED];
    return value ? `<${element}>${value}</${element}>` : "";
  });
  return told.join("") && `<cputune>${told.join("")}</cputune>`;
}
