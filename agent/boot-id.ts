/** Which run of this machine it is, from its switching on to its switching off. */
import { readFile } from "node:fs/promises";

/** random(4): made anew at every boot of Linux. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** Null where there is none to read. */
export async function bootIdOf(path = BOOT_ID): Promise<string | null> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trim().slice(0, 64) || null;
}
