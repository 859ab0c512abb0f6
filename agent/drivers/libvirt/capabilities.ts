/** What the driver reads of a host's capabilities (https://libvirt.org/formatcaps.html). Pure. */
import type { Inventory } from "../../../functions/protocol/guest.ts";
import type { CpuInfo } from "../../../functions/protocol/resources.ts";
import type { DriverName } from "./endpoint.ts";
import { hostCpu } from "./host-cpu.ts";
import { readElements } from "./xml.ts";

/** QEMU's user, where it is not libvirt's own. */
export type QemuUser = { uid: number; gid: number };
export type HostCapabilities = { kvm: boolean; qemuUser: QemuUser | null; cpu?: CpuInfo };

/**
 * `kvm`: libvirt lists the type only when QEMU's user can open /dev/kvm. `qemuUser`: the DAC security model's base
 * label, `+uid:+gid`; a session libvirtd has no such model, as QEMU runs as its user.
 */
export function parseCapabilities(xml: string): HostCapabilities {
  const elements = readElements(xml);
  const kvm = elements.some(
    ({ path, attributes, parent }) =>
      path === "capabilities/guest/arch/domain" && attributes.type === "kvm" && parent?.attributes.name === "x86_64",
  );
  const labels = elements.filter(({ path }) => path === "capabilities/host/secmodel/baselabel");
  const match = labels.map(({ text }) => /^\+(\d+):\+(\d+)$/.exec(text)).find((it) => it !== null);
  const qemuUser = match ? { uid: Number(match[1]), gid: Number(match[2]) } : null;
  const cpu = hostCpu(elements);
  return { kvm, qemuUser, ...(cpu ? { cpu } : {}) };
}

/** What guests a host runs (nova: supported_instances). */
export function supportedInstances(driver: DriverName, { kvm }: HostCapabilities): Inventory["supported_instances"] {
  const own = driver === "qemu" ? (kvm ? ["kvm", "qemu"] : ["qemu"]) : [driver];
  return own.map((hv_type) => ({ arch: "x86_64", hv_type, vm_mode: driver === "lxc" ? "exe" : "hvm" }));
}
