/**
 * A guest as libvirt describes it (https://libvirt.org/formatdomain.html): written for a new guest, and the few
 * fields read that the driver needs of a live one. Pure.
 */
import type { VncAddress } from "../../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { escapeXml, readElements } from "./xml.ts";

/** Marks a domain as made by this driver; another domain is never listed, changed or destroyed. */
export const NAMESPACE = "https://edgenova.dev/xmlns/libvirt/guest/1";

/** The virtio port that the guest's agent listens on. */
export const GUEST_AGENT = "org.qemu.guest_agent.0";

/** `base` null is a disk that stands on its own. */
export type OverlayDisk = {
  kind: "disk";
  path: string;
  base: { path: string; format: "raw" | "qcow2" } | null;
};
export type Cdrom = { kind: "cdrom"; path: string };
export type GuestDisk = OverlayDisk | Cdrom;

export type DomainPlan = {
  uuid: string;
  spec: GuestSpec;
  virtType: "kvm" | "qemu";
  /** In boot order. */
  disks: readonly GuestDisk[];
  /** The paths of those behind them, from which nothing boots: raw, and standing on their own. */
  emptyDisks: readonly string[];
  /** The path of its config drive, if it has one. */
  configDrive: string | null;
  consoleLog: string;
  /** Whether libvirt gives files to QEMU's user (qemu:///system). Bases are kept out of that: see reach.ts. */
  relabels: boolean;
};

const A = "a".charCodeAt(0);
const element = (name: string, text: string) => `<${name}>${escapeXml(text)}</${name}>`;

type Relabels = Pick<DomainPlan, "relabels">;

function source(path: string, plan: Relabels, shared: boolean): string {
  const file = `file='${escapeXml(path)}'`;
  if (!(shared && plan.relabels)) return `<source ${file}/>`;
  return `<source ${file}><seclabel model='dac' relabel='no'/></source>`;
}

/** Every format is named and every chain ends in an empty backingStore, so that nothing is probed in tenant's bytes. */
export function disk(plan: Relabels, it: GuestDisk, order: number): string {
  if (it.kind === "cdrom") {
    return `<disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      ${source(it.path, plan, true)}<backingStore/>
      <target dev='sda' bus='sata'/><readonly/><boot order='${order}'/>
    </disk>`;
  }
  const backing = it.base
    ? `<backingStore type='file'><format type='${it.base.format}'/>${source(it.base.path, plan, true)}<backingStore/></backingStore>`
    : "<backingStore/>";
  return `<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      ${source(it.path, plan, false)}${backing}
      <target dev='vda' bus='virtio'/><boot order='${order}'/>
    </disk>`;
}

/** They follow the guest's own disk, if it has one: vdb, vdc … */
function emptyDisks(plan: DomainPlan): string {
  const before = plan.disks.filter(({ kind }) => kind === "disk").length;
  const one = (path: string, i: number) => `<disk type='file' device='disk'>
      <driver name='qemu' type='raw' discard='unmap'/>
      ${source(path, plan, false)}<backingStore/>
      <target dev='vd${String.fromCharCode(A + before + i)}' bus='virtio'/>
    </disk>`;
  return plan.emptyDisks.map(one).join("\n    ");
}

/** The second port, after the CD that a guest may boot from; nothing boots from this one. */
function configDrive(plan: DomainPlan): string {
  if (plan.configDrive === null) return "";
  return `<disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      ${source(plan.configDrive, plan, false)}<backingStore/>
      <target dev='sdb' bus='sata'/><readonly/>
    </disk>`;
}

/**
 * The domain of a new guest. A title holds no line break in libvirt, so those become spaces.
 *
 * VNC: libvirt makes the socket's path itself, in the domain's own folder. That folder belongs to QEMU's user, is
 * named in its AppArmor profile and goes with the guest; a folder of ours would have to be made all of that.
 */
export function domainXml(plan: DomainPlan): string {
  const { spec, uuid } = plan;
  const title = spec.display_name.replace(/[\r\n]+/g, " ").trim();
  // TCG's default CPU lacks what x86-64-v2 systems need; under KVM it is the host's, as in Nova's default cpu_mode.
  const cpu = plan.virtType === "kvm" ? "<cpu mode='host-model'/>" : "<cpu mode='maximum'/>";
  return `<domain type='${plan.virtType}'>
  <uuid>${escapeXml(uuid)}</uuid>
  ${element("name", spec.instance_name)}
  ${title === "" ? "" : element("title", title)}
  <metadata>
    <edgenova:guest xmlns:edgenova='${NAMESPACE}'>${element("edgenova:project", spec.project_id)}</edgenova:guest>
  </metadata>
  <memory unit='MiB'>${spec.memory_mb}</memory>
  <vcpu>${spec.vcpus}</vcpu>
  ${cpu}
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/><apic/></features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    ${plan.disks.map((it, i) => disk(plan, it, i + 1)).join("\n    ")}
    ${emptyDisks(plan)}
    ${configDrive(plan)}
    <controller type='usb' model='qemu-xhci'/>
    <input type='tablet' bus='usb'/>
    <input type='keyboard' bus='usb'/>
    <graphics type='vnc'><listen type='socket'/></graphics>
    <video><model type='vga'/></video>
    <serial type='pty'><log file='${escapeXml(plan.consoleLog)}' append='off'/></serial>
    ${spec.image.guest_agent ? `<channel type='unix'><target type='virtio' name='${GUEST_AGENT}'/></channel>` : ""}
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>`;
}

const LOOPBACK: Record<string, "127.0.0.1" | "::1"> = {
  "127.0.0.1": "127.0.0.1",
  "::1": "::1",
  localhost: "127.0.0.1",
};

/** Where a live domain's VNC server listens; null when it has none that is on this host alone. */
export function vncOf(domainXml: string): VncAddress | null {
  for (const { path, attributes, parent } of readElements(domainXml)) {
    const graphics = path === "domain/devices/graphics" ? attributes : parent?.attributes;
    const isListen = path === "domain/devices/graphics/listen";
    if (!(isListen || path === "domain/devices/graphics") || graphics?.type !== "vnc") continue;
    const socket = attributes.socket;
    if (socket !== undefined && socket.length > 0) return { transport: "unix", path: socket };
    const host = LOOPBACK[(isListen ? attributes.address : attributes.listen) ?? ""];
    const port = Number(graphics.port);
    if (host !== undefined && Number.isInteger(port) && port > 0 && port <= 65_535) {
      return { transport: "tcp", host, port };
    }
  }
  return null;
}
