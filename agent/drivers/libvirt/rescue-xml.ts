/**
 * A guest's description with a rescue disk in front of its own disks (nova: legacy rescue of libvirt/blockinfo.py).
 *
 *   own:      vda boot 1, sdb                 sda boot 1, vda boot 2, sdb
 *   rescued:  vda boot 1, vdb boot 2, sdb     vda boot 1, sda boot 2, vdb boot 3, sdb     by a disk
 *             sda boot 1, vda boot 2, sdc     sda boot 1, sdb boot 2, vda boot 3, sdc     by a CD
 *
 * Pure.
 */
import { disk, type GuestDisk } from "./domain-xml.ts";
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
  const bus = rescue.kind === "disk" ? "virtio" : "sata";
  const edits = disks.flatMap((it) =>
    elements.filter(({ parent }) => parent === it).flatMap((inner) => edit(inner, { bus, instead })),
  );
  const added = { start: at, end: at, text: disk({ relabels }, rescue, 1) };
  return [added, ...edits]
    .toSorted((a, b) => b.start - a.start)
    .reduce((xml, { start, end, text }) => {
      return xml.slice(0, start) + text + xml.slice(end);
    }, original);
}

type Edit = { start: number; end: number; text: string };

/** What becomes of an element of a disk that is there. */
function edit(
  { path, attributes, parent, start, end }: Element,
  { bus, instead }: Pick<Rescue, "instead"> & { bus: string },
): Edit[] {
  const name = path.slice(DISK.length + 1);
  const own = parent?.attributes.device === "cdrom" ? "sata" : "virtio";
  if (name === "boot") return [{ start, end, text: `<boot order='${Number(attributes.order) + 1}'/>` }];
  if (name === "source" && instead && attributes.file === instead.of) {
    return [{ start, end, text: `<source file='${escapeXml(instead.path)}'/>` }];
  }
  if (own !== bus) return [];
  if (name === "target") return [{ start, end, text: `<target dev='${next(attributes.dev)}' bus='${own}'/>` }];
  // Without a place of its own it is put behind the rescue disk, and so is it in the order that the guest finds them.
  return name === "address" ? [{ start, end, text: "" }] : [];
}

/** The name after a disk's: vdb after vda. */
function next(dev = ""): string {
  return dev.slice(0, -1) + String.fromCharCode(dev.charCodeAt(dev.length - 1) + 1);
}
