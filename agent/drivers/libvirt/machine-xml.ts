/** A guest's machine and what it begins with: firmware, boot menu, clock (nova/virt/libvirt/driver.py: _configure_guest_by_virt_type). Pure. */
import type { Hardware } from "../../../functions/protocol/hardware.ts";
import { DriverError } from "../driver.ts";
import { choose, isXen, type VirtType } from "./hypervisor.ts";
import { escapeXml } from "./xml.ts";

export type MachinePlan = {
  virtType: VirtType;
  /** The host's default. */
  machine: string;
  /** Where the guest's UEFI variables are. */
  nvram: string;
};

/** q35 and its versions have SATA and PCI Express; i440fx, by Nova's name `pc`, has IDE. */
export const isQ35 = (machine: string) => /^(pc-)?q35/.test(machine);

export const machineOf = (plan: MachinePlan, hardware: Hardware) => hardware.machine_type ?? plan.machine;

/** libvirt picks the firmware's files by what the host has (https://libvirt.org/kbase/secureboot.html). */
export function osXml(plan: MachinePlan, hardware: Hardware): string {
  const machine = machineOf(plan, hardware);
  const type = isXen(plan.virtType)
    ? "<type arch='x86_64'>hvm</type>"
    : `<type arch='x86_64' machine='${escapeXml(machine)}'>hvm</type>`;
  const menu = hardware.boot_menu ? "<bootmenu enable='yes'/>" : "";
  const firmware = choose(plan.virtType, "firmware_type", hardware.firmware_type);
  if (firmware === "bios") return `<os>${type}${menu}</os>`;
  const secure = isSecure(plan, hardware) ? "yes" : "no";
  const keys = secure === "yes" ? "<feature enabled='yes' name='enrolled-keys'/>" : "";
  return `<os firmware='efi'>${type}
    <firmware><feature enabled='${secure}' name='secure-boot'/>${keys}</firmware>
    <nvram>${escapeXml(plan.nvram)}</nvram>${menu}
  </os>`;
}

/** It needs System Management Mode, which q35 alone has. */
function isSecure(plan: MachinePlan, hardware: Hardware): boolean {
  if (hardware.secure_boot === undefined) return false;
  const can = isQ35(machineOf(plan, hardware));
  if (can || hardware.secure_boot === "optional") return can;
  throw new DriverError("NotSupported", "os_secure_boot=required needs hw_machine_type=q35");
}

/** What Windows needs to run well under KVM. */
const HYPERV = "<hyperv><relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/></hyperv>";

export function featuresXml(plan: MachinePlan, hardware: Hardware): string {
  const kvm = plan.virtType === "kvm";
  const hidden = kvm && hardware.hide_hypervisor_id ? "<kvm><hidden state='on'/></kvm>" : "";
  const secure = hardware.firmware_type === "uefi" && isSecure(plan, hardware) ? "<smm state='on'/>" : "";
  return `<features><acpi/><apic/>${kvm && hardware.windows ? HYPERV : ""}${hidden}${secure}</features>
  <clock offset='${hardware.windows ? "localtime" : "utc"}'/>`;
}
