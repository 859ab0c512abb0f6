/**
 * Which bases guests lean on: whatever a domain, as it runs or as it would start, or the folder of a guest that is rescued
 * or aside names.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { networkReason } from "../../failure.ts";
import { guestsWithFolders, readAside } from "../aside.ts";
import { unless, VIR_ERR } from "./errors.ts";
import { UNRESCUE_XML } from "./guest-folder.ts";
import type { Libvirt } from "./procedures.ts";
import { readElements } from "./xml.ts";

/** Of a disk itself, of what is below it, or of what it is being copied to. */
const FILE = /^domain\/devices\/disk\/(.+\/)?source$/;

/**
 * The names of those files, of domains that others made too; `instances` is the folder of the guests' folders. Rejects
 * when not all of them can be told.
 */
export async function usedImages(libvirt: Libvirt, instances: string): Promise<Set<string>> {
  const used = new Set<string>();
  const read = (xml: string) => {
    for (const { path, attributes } of readElements(xml)) {
      if (FILE.test(path) && attributes.file !== undefined) used.add(basename(attributes.file));
    }
  };
  // The folders first: a rescue that ends meanwhile is then in its domain.
  for (const uuid of await guestsWithFolders(instances)) {
    const folder = join(instances, uuid);
    const kept = await readFile(join(folder, UNRESCUE_XML), "utf8").catch(unlessMissing);
    if (kept !== undefined) read(kept);
    read((await readAside(folder))?.description ?? "");
  }
  for (const domain of await libvirt.listDomains()) {
    read((await libvirt.xml(domain).catch(unless(VIR_ERR.NO_DOMAIN))) ?? "");
    read((await libvirt.storedXml(domain).catch(unless(VIR_ERR.NO_DOMAIN))) ?? "");
  }
  return used;
}

function unlessMissing(error: unknown): undefined {
  if (!["ENOENT", "ENOTDIR"].includes(networkReason(error))) throw error;
}
