/**
 * A guest whose file systems hold still while a snapshot begins (nova/virt/libvirt/driver.py: quiesce). A note in the
 * guest's folder outlives the agent: a guest is never left frozen.
 *
 *   --note--> noted --freeze--> frozen --work--> frozen --thaw--> noted --rm note-->
 */
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DriverError } from "../driver.ts";
import { unlessRefused } from "./errors.ts";
import { agentOf, askAgent } from "./guest-agent.ts";
import { FROZEN } from "./guest-folder.ts";
import { find, runs } from "./guests.ts";
import type { Domain, Libvirt } from "./procedures.ts";
import { readElements } from "./xml.ts";

/** What is in the guest's memory goes to its disks before they hold still. */
const FREEZE_SECONDS = 60;
const REQUIRED = "domain/metadata/edgenova:guest/edgenova:require_quiesce";

/**
 * Does `work` while the guest holds still, if its agent lets it; `xml` is its live description. Without an agent that
 * answers it is done all the same, unless the image says that it must not be: then rejects with NotSupported.
 */
export async function quiesced(
  libvirt: Libvirt,
  { domain, folder, xml }: { domain: Domain; folder: string; xml: string },
  work: () => Promise<void>,
): Promise<void> {
  const elements = readElements(xml);
  const required = elements.some(({ path }) => path === REQUIRED);
  const note = join(folder, FROZEN);
  if (agentOf(elements)?.connected) {
    await writeFile(note, "", { flush: true });
    try {
      const frozen = await askAgent(libvirt, domain, FREEZE_SECONDS, () => libvirt.freeze(domain)).then(
        () => true,
        unlessRefused,
      );
      if (frozen || !required) return await work();
    } finally {
      await thaw(libvirt, domain, note);
    }
  }
  if (!required) return work();
  throw new DriverError("NotSupported", "os_require_quiesce: the guest's agent does not hold its file systems still");
}

/** Thaws a guest that an agent which is no more had frozen. */
export async function thawLeft(libvirt: Libvirt, uuid: string, folder: string): Promise<void> {
  const note = join(folder, FROZEN);
  const domain = existsSync(note) ? await find(libvirt, uuid) : null;
  if (domain) await thaw(libvirt, domain, note);
}

async function thaw(libvirt: Libvirt, domain: Domain, note: string): Promise<void> {
  if (runs(domain)) await libvirt.thaw(domain).catch(unlessRefused);
  await rm(note, { force: true });
}
