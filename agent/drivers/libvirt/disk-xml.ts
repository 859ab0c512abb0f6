/** A guest's disks as libvirt describes them (https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms). Pure. */
import type { Limits } from "../../../functions/protocol/hardware.ts";
import { choose, type Offer, type VirtType } from "./hypervisor.ts";
import { escapeXml } from "./xml.ts";

/** `base` null is a disk that stands on its own. */
export type OverlayDisk = {
  kind: "disk";
  path: string;
  base: { path: string; format: "raw" | "qcow2" } | null;
};
export type Cdrom = { kind: "cdrom"; path: string };
export type GuestDisk = OverlayDisk | Cdrom;
export type Bus = Offer["disk_bus"][number];

export type DiskPlan = {
  virtType: VirtType;
  /** In boot order. */
  disks: readonly GuestDisk[];
  /** The paths of those behind them, from which nothing boots: raw, and standing on their own. */
  emptyDisks: readonly string[];
  /** The path of its config drive, if it has one. */
  configDrive: string | null;
  /** Whether libvirt gives files to QEMU's user (qemu:///system). Bases are kept out of that: see reach.ts. */
  relabels: boolean;
};
type Relabels = Pick<DiskPlan, "relabels">;

const A = "a".charCodeAt(0);

/** The first two letters of the names of a bus's disks, which those of some buses share. */
export const prefixOf = (bus: string) => ({ virtio: "vd", ide: "hd", xen: "xvd" })[bus] ?? "sd";

/** Names disks in the order that they are asked for; `least` is the first letter's number that is to be had. */
function names(): (bus: Bus, least?: number) => string {
  const next = new Map<string, number>();
  return (bus, least = 0) => {
    const prefix = prefixOf(bus);
    const number = Math.max(next.get(prefix) ?? 0, least);
    next.set(prefix, number + 1);
    return prefix + String.fromCharCode(A + number);
  };
}

function source(path: string, plan: Relabels, shared: boolean): string {
  const file = `file='${escapeXml(path)}'`;
  if (!(shared && plan.relabels)) return `<source ${file}/>`;
  return `<source ${file}><seclabel model='dac' relabel='no'/></source>`;
}

/** The limits of each disk: its guest's `quota:disk_*` (nova/virt/libvirt/imagebackend.py: disk_qos). */
export function iotune(limits: Limits = {}): string {
  const all = Object.entries(limits).filter(([name, value]) => name.startsWith("disk_") && value > 0);
  const one = ([name, value]: [string, number]) => {
    const element = name.slice("disk_".length);
    return `<${element}>${value}</${element}>`;
  };
  return all.length === 0 ? "" : `<iotune>${all.map(one).join("")}</iotune>`;
}

type Where = { dev: string; bus: string; order: number; tune?: string };

/** Every format is named and every chain ends in an empty backingStore, so that nothing is probed in tenant's bytes. */
export function disk(plan: Relabels, it: GuestDisk, { dev, bus, order, tune = "" }: Where): string {
  if (it.kind === "cdrom") {
    return `<disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      ${source(it.path, plan, true)}<backingStore/>
      <target dev='${dev}' bus='${bus}'/><readonly/><boot order='${order}'/>
    </disk>`;
  }
  const backing = it.base
    ? `<backingStore type='file'><format type='${it.base.format}'/>${source(it.base.path, plan, true)}<backingStore/></backingStore>`
    : "<backingStore/>";
  return `<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      ${source(it.path, plan, false)}${backing}
      <target dev='${dev}' bus='${bus}'/>${tune}<boot order='${order}'/>
    </disk>`;
}

function emptyDisk(plan: Relabels, path: string, { dev, bus, tune }: Omit<Where, "order">): string {
  return `<disk type='file' device='disk'>
      <driver name='qemu' type='raw' discard='unmap'/>
      ${source(path, plan, false)}<backingStore/>
      <target dev='${dev}' bus='${bus}'/>${tune}
    </disk>`;
}

/** Nothing boots from it. */
function configDrive(plan: Relabels, path: string, { dev, bus }: Pick<Where, "dev" | "bus">): string {
  return `<disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      ${source(path, plan, false)}<backingStore/>
      <target dev='${dev}' bus='${bus}'/><readonly/>
    </disk>`;
}

type Asked = { disk_bus?: Bus | undefined; cdrom_bus?: Bus | undefined; limits?: Limits | undefined };

/**
 * All disks of a guest: its own, the empty ones behind them, and its config drive, which leaves the first letter to a CD
 * that the guest may boot from. A PC without SATA has its CDs on IDE (nova: get_disk_bus_for_device_type).
 */
export function disksXml(plan: DiskPlan, hardware: Asked, sata: boolean): { xml: string; buses: ReadonlySet<Bus> } {
  const { virtType } = plan;
  const bus = choose(virtType, "disk_bus", hardware.disk_bus);
  const cdromBus = choose(virtType, "cdrom_bus", hardware.cdrom_bus, sata ? "sata" : "ide");
  const name = names();
  const tune = iotune(hardware.limits);
  const own = plan.disks.map((it, i) => {
    const on = it.kind === "cdrom" ? cdromBus : bus;
    return disk(plan, it, { dev: name(on), bus: on, order: i + 1, tune });
  });
  const empty = plan.emptyDisks.map((path) => emptyDisk(plan, path, { dev: name(bus), bus, tune }));
  const drive = plan.configDrive === null ? [] : [plan.configDrive];
  const config = drive.map((path) => configDrive(plan, path, { dev: name(cdromBus, 1), bus: cdromBus }));
  return { xml: [...own, ...empty, ...config].join("\n    "), buses: new Set([bus, cdromBus]) };
}
