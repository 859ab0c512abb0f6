/**
 * A guest's description with a rescue disk in front of its own disks (nova: legacy rescue of libvirt/blockinfo.py).
 *
 *   own:      vda boot 1, sdb                 sda boot 1, vda boot 2, sdb
 *   rescued:  vda boot 1, vdb boot 2, sdb     vda boot 1, sda boot 2, vdb boot 3, sdb     by a disk
 *             sda boot 1, vda boot 2, sdc     sda boot 1, sdb boot 2, vda boot 3, sdc     by a CD
 *
 * Pure.
 */
import { disk, type GuestDisk, prefixOf } from "./disk-xml.ts";
import { type Element, escapeXml, readElements } from "./xml.ts";

const DISK = "domain/devices/disk";

export type Rescue = {
  disk: GuestDisk;
  /** The file to have in place of another: the config drive of the rescue for the guest's own. */
  instead: { of: string; path: string } | null;
  /** As in domainXml. */
  relabels: boolean;
};

/** `original` is a stored description as libvirt writes it. */
export function rescueXml(original: string, { disk: rescue, instead, relabels }: Rescue): string {
  const elements = readElements(original);
  const disks = elements.filter(({ path }) => path === DISK);
  const devices = elements.find(({ path }) => path === "domain/devices");
  const at = disks[0]?.start ?? (devices && original.indexOf(">", devices.start) + 1);
  if (at === undefined) throw new Error("the domain has no devices");
  const inside = (it: Element) => elements.filter(({ parent }) => parent === it);
  // It is on the bus of those like it, and has their limits.
  const like = disks.find(({ attributes }) => attributes.device === rescue.kind);
  const bus = (like && inside(like).find(isTarget)?.attributes.bus) ?? (rescue.kind === "disk" ? "virtio" : "sata");
  const prefix = prefixOf(bus);
  const limits = elements.find(({ path }) => path === `${DISK}/iotune`);
  const tune = limits ? original.slice(limits.start, limits.end) : "";
  const edits = disks.flatMap((it) => {
    const shared = inside(it).find(isTarget)?.attributes.dev?.startsWith(prefix) ?? false;
    return inside(it).flatMap((inner) => edit(inner, { shared, instead }));
  });
  const where = { dev: `${prefix}a`, bus, order: 1, tune };
  const added = { start: at, end: at, text: disk({ relabels }, rescue, where) };
  return [added, ...edits]
    .toSorted((a, b) => b.start - a.start)
    .reduce((xml, { start, end, text }) => {
      return xml.slice(0, start) + text + xml.slice(end);
    }, original);
}

type Edit = { start: number; end: number; text: string };

const isTarget = ({ path }: Element) => path === `${DISK}/target`;

/** What becomes of an element of a disk that is there; `shared`: its name is of those of the rescue disk's bus. */
function edit(
  { path, attributes, start, end }: Element,
  { shared, instead }: Pick<Rescue, "instead"> & { shared: boolean },
): Edit[] {
  const name = path.slice(DISK.length + 1);
  if (name === "boot") return [{ start, end, text: `<boot order='${Number(attributes.order) + 1}'/>` }];
  if (name === "source" && instead && attributes.file === instead.of) {
    return [{ start, end, text: `<source file='${escapeXml(instead.path)}'/>` }];
  }
  if (!shared) return [];
  if (name === "target") {
    return [{ start, end, text: `<target dev='${next(attributes.dev)}' bus='${escapeXml(attributes.bus ?? "")}'/>` }];
  }
  // Without a place of its own it is put behind the rescue disk, and so is it in the order that the guest finds them.
  return name === "address" ? [{ start, end, text: "" }] : [];
}

/** The name after a disk's: vdb after vda. */
function next(dev = ""): string {
  return dev.slice(0, -1) + String.fromCharCode(dev.charCodeAt(dev.length - 1) + 1);
}
