/**
 * Rescue and its end (nova/virt/libvirt/driver.py: rescue, unrescue). What must outlive a crash is in the guest's folder:
 * `unrescue.xml`, its description from before, is there from before the first change until all is as it was; `disk.rescue`
 * is the rescue image's overlay.
 *
 *   own --unrescue.xml--> half --define--> rescued --define original--> half --rm unrescue.xml--> own
 *
 * Whatever is found half done is begun anew from unrescue.xml, by either.
 */
import { existsSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GuestDisk } from "./domain-xml.ts";
import { runs, stop } from "./guests.ts";
import type { Domain, Libvirt } from "./procedures.ts";
import { rescueXml } from "./rescue-xml.ts";
import { readElements } from "./xml.ts";

const ORIGINAL = "unrescue.xml";
const DISK = "disk.rescue";

export type RescueOrder = {
  folder: string;
  relabels: boolean;
  /** Makes the disk at `path`, or names the CD, that the guest is to boot. */
  makeDisk(path: string): Promise<GuestDisk>;
};

/** Boots the guest from the rescue disk. One that runs from it already is left alone. */
export async function rescue(libvirt: Libvirt, domain: Domain, order: RescueOrder): Promise<void> {
  const { folder, relabels } = order;
  const path = join(folder, DISK);
  const half = isRescued(folder);
  const original = half ? await readFile(join(folder, ORIGINAL), "utf8") : await libvirt.storedXml(domain);
  if (half && runs(domain) && hasMore(await libvirt.xml(domain), original)) return;
  // Made while the guest may still run: it goes on if this fails. A QEMU that has the disk open is stopped before.
  if (half) await stop(libvirt, domain);
  const disk = await order.makeDisk(path);
  if (!half) await keep(join(folder, ORIGINAL), original);
  await stop(libvirt, domain);
  await libvirt.start(await libvirt.define(rescueXml(original, disk, relabels)));
}

/** Gives a rescued guest its own description back; it is off then. False when it was not rescued. */
export async function endRescue(libvirt: Libvirt, domain: Domain, folder: string): Promise<boolean> {
  if (!isRescued(folder)) return false;
  await stop(libvirt, domain);
  await libvirt.define(await readFile(join(folder, ORIGINAL), "utf8"));
  await rm(join(folder, DISK), { force: true });
  await rm(join(folder, ORIGINAL));
  return true;
}

function isRescued(folder: string): boolean {
  return existsSync(join(folder, ORIGINAL));
}

/** Whether a description has a disk that the original has not. */
function hasMore(xml: string, original: string): boolean {
  const own = new Set(sources(original));
  return sources(xml).some((file) => !own.has(file));
}

function sources(xml: string): (string | undefined)[] {
  return readElements(xml)
    .filter(({ path }) => path === "domain/devices/disk/source")
    .map(({ attributes }) => attributes.file);
}

/** Whole or not at all: a half of it would be taken for the guest. */
async function keep(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
}
