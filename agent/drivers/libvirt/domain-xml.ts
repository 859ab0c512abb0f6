/** A new guest as libvirt is told of it (https://libvirt.org/formatdomain.html). Pure. */
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import type { Network } from "../../config.ts";
import { type CpuOptions, cpuTune, cpuXml } from "./cpu-xml.ts";
import { devicesXml } from "./device-xml.ts";
import { type DiskPlan, disksXml } from "./disk-xml.ts";
import { isXen } from "./hypervisor.ts";
import { interfaceXml } from "./interface-xml.ts";
import { featuresXml, isQ35, type MachinePlan, machineOf, osXml } from "./machine-xml.ts";
import { escapeXml } from "./xml.ts";

/** Marks a domain as made by this driver; another domain is never listed, changed or destroyed. */
export const NAMESPACE = "https://edgenova.dev/xmlns/libvirt/guest/1";

export type DomainPlan = DiskPlan &
  MachinePlan & {
    uuid: string;
    spec: GuestSpec;
    consoleLog: string;
    cpu: CpuOptions;
    network: Network;
  };

const element = (name: string, text: string) => `<${name}>${escapeXml(text)}</${name}>`;

/** What a later call needs to know of the guest, beside whose it is. */
function metadata({ project_id, hardware = {} }: GuestSpec): string {
  const { admin_user, windows, require_quiesce } = hardware;
  const administrator = admin_user ?? (windows ? "Administrator" : undefined);
  const told = [
    element("edgenova:project", project_id),
    administrator === undefined ? "" : element("edgenova:admin_user", administrator),
    require_quiesce ? "<edgenova:require_quiesce/>" : "",
  ];
  return `<edgenova:guest xmlns:edgenova='${NAMESPACE}'>${told.join("")}</edgenova:guest>`;
}

/**
 * Throws `DriverError` NotSupported for hardware that the hypervisor has not. A title holds no line break in libvirt, so
 * those become spaces.
 */
export function domainXml(plan: DomainPlan): string {
  const { spec, uuid, virtType } = plan;
  const hardware = spec.hardware ?? {};
  const title = spec.display_name.replace(/[\r\n]+/g, " ").trim();
  const sata = !isXen(virtType) && isQ35(machineOf(plan, hardware));
  const disks = disksXml(plan, hardware, sata);
  const devices = { ...plan, buses: disks.buses, guestAgent: spec.image.guest_agent === true };
  return `<domain type='${virtType}'>
  <uuid>${escapeXml(uuid)}</uuid>
  ${element("name", spec.instance_name)}
  ${title === "" ? "" : element("title", title)}
  <metadata>
    ${metadata(spec)}
  </metadata>
  <memory unit='MiB'>${spec.memory_mb}</memory>
  <vcpu>${spec.vcpus}</vcpu>
  ${cpuTune(hardware.limits)}
  ${cpuXml(virtType, plan.cpu, hardware.cpu_topology)}
  ${osXml(plan, hardware)}
  ${featuresXml(plan, hardware)}
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    ${disks.xml}
    ${interfaceXml(plan, hardware)}
    ${devicesXml(devices, hardware)}
  </devices>
</domain>`;
}
