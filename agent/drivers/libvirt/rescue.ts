/**
 * Rescue and its end (nova/virt/libvirt/driver.py: rescue, unrescue). What must outlive a crash is in the guest's folder:
 * `unrescue.xml`, its description from before, is there from before the first change until all is as it was; `disk.rescue`
 * is the rescue image's overlay, `disk.config.rescue` the config drive that a guest with one has in place of its own.
 *
 *   own --unrescue.xml--> half --define--> rescued --define original--> half --rm unrescue.xml--> own
 *
 * Whatever is found half done is begun anew from unrescue.xml, by either.
 */
import { existsSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeConfigDrive } from "../../config-drive-image.ts";
import type { RescueOrder } from "../driver.ts";
import type { Place } from "./build.ts";
import { buildRescueDisk } from "./disk.ts";
import { CONFIG_DRIVE, RESCUE_CONFIG_DRIVE, RESCUE_DISK, UNRESCUE_XML } from "./guest-folder.ts";
import { runs, stop } from "./guests.ts";
import type { Domain, Libvirt } from "./procedures.ts";
import { rescueXml } from "./rescue-xml.ts";
import { readElements } from "./xml.ts";

/** Boots the guest from the rescue disk. One that runs from it already is left alone. */
export async function rescue(
  libvirt: Libvirt,
  { domain, place, order: { image, spec } }: { domain: Domain; place: Place; order: RescueOrder },
  signal: AbortSignal,
): Promise<void> {
  const { uuid, folder, relabels } = place;
  const basePath = await place.image(image);
  const half = isRescued(folder);
  const original = half ? await readFile(join(folder, UNRESCUE_XML), "utf8") : await libvirt.storedXml(domain);
  if (half && runs(domain) && hasMore(await libvirt.xml(domain), original)) return;
  // Made while the guest may still run: it goes on if this fails. A QEMU that has the disks open is stopped before.
  if (half) await stop(libvirt, domain);
  const disk = await buildRescueDisk({ path: join(folder, RESCUE_DISK), image, basePath }, signal);
  const own = join(folder, CONFIG_DRIVE);
  const hasDrive = spec !== null && sources(original).includes(own);
  const drive = hasDrive ? await makeConfigDrive(join(folder, RESCUE_CONFIG_DRIVE), { uuid, spec }, signal) : null;
  if (!half) await keep(join(folder, UNRESCUE_XML), original);
  await stop(libvirt, domain);
  const instead = drive === null ? null : { of: own, path: drive };
  await libvirt.start(await libvirt.define(rescueXml(original, { disk, instead, relabels })));
}

/** Gives a rescued guest its own description back; it is off then. False when it was not rescued. */
export async function endRescue(libvirt: Libvirt, domain: Domain, folder: string): Promise<boolean> {
  if (!isRescued(folder)) return false;
  await stop(libvirt, domain);
  await libvirt.define(await readFile(join(folder, UNRESCUE_XML), "utf8"));
  for (const name of [RESCUE_DISK, RESCUE_CONFIG_DRIVE]) await rm(join(folder, name), { force: true });
  await rm(join(folder, UNRESCUE_XML));
  return true;
}

export function isRescued(folder: string): boolean {
  return existsSync(join(folder, UNRESCUE_XML));
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
