/** What the hypervisors behind libvirt have of hardware, and have by default (nova/virt/libvirt/blockinfo.py, vif.py). */
import type { Hardware } from "../../../functions/protocol/hardware.ts";
import { DriverError } from "../driver.ts";

/** A domain's type. `test` is libvirt's own mock, which takes what QEMU takes. */
export type VirtType = "kvm" | "qemu" | "xen" | "test";

type Bus = NonNullable<Hardware["disk_bus"]>;
export type Offer = {
  disk_bus: readonly Bus[];
  cdrom_bus: readonly Bus[];
  vif_model: readonly NonNullable<Hardware["vif_model"]>[];
  video_model: readonly NonNullable<Hardware["video_model"]>[];
  firmware_type: readonly NonNullable<Hardware["firmware_type"]>[];
};

/** The first is what a guest gets that asks for nothing. */
const QEMU: Offer = {
  disk_bus: ["virtio", "scsi", "sata", "ide", "usb"],
  cdrom_bus: ["sata", "ide", "scsi", "usb"],
  vif_model: ["virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3"],
  video_model: ["vga", "virtio", "qxl", "cirrus", "bochs", "none", "vmvga"],
  firmware_type: ["bios", "uefi"],
};
const XEN: Offer = {
  disk_bus: ["xen", "ide", "scsi"],
  cdrom_bus: ["ide"],
  vif_model: ["netfront", "e1000", "ne2k_pci", "pcnet", "rtl8139"],
  video_model: ["vga", "cirrus", "xen"],
  firmware_type: ["bios", "uefi"],
};

export const isXen = (virtType: VirtType) => virtType === "xen";

/** What the guest asked for of one kind, or the hypervisor's default. Rejects with NotSupported what it has not. */
export function choose<K extends keyof Offer>(
  virtType: VirtType,
  kind: K,
  asked: Offer[K][number] | undefined,
  otherwise?: Offer[K][number],
): Offer[K][number] {
  const offered: readonly Offer[K][number][] = (isXen(virtType) ? XEN : QEMU)[kind];
  const chosen = asked ?? otherwise ?? offered[0];
  if (chosen !== undefined && offered.includes(chosen)) return chosen;
  throw new DriverError("NotSupported", `hw_${kind}=${chosen} is not to be had on this hypervisor (${virtType})`);
}
