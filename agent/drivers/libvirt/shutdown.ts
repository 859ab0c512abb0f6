/** Asks a guest to shut down by itself (nova/virt/libvirt/driver.py: _clean_shutdown). */
import { setTimeout as sleep } from "node:timers/promises";
import type { Grace } from "../driver.ts";
import { LibvirtError } from "./errors.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";

const POLL_MS = 1_000;
/** A guest that is asked while it boots may not hear it (nova: shutdown_retry_interval). */
const RETRY_MS = 10_000;

/** True when the guest shut down within its time; false when it is to be stopped hard. */
export async function askToShutDown(libvirt: Libvirt, domain: Domain, { seconds, hurry }: Grace): Promise<boolean> {
  try {
    if ((await libvirt.state(domain)) !== DOMAIN_STATE.RUNNING) return false;
    for (let waited = 0; waited < seconds * 1000; waited += POLL_MS) {
      if (waited % RETRY_MS === 0) await libvirt.shutdown(domain);
      await sleep(POLL_MS, undefined, { signal: hurry });
      const state = await libvirt.state(domain);
      if (state === DOMAIN_STATE.SHUTOFF || state === DOMAIN_STATE.CRASHED) return true;
    }
    return false;
  } catch (error) {
    if (hurry.aborted || error instanceof LibvirtError) return false;
    throw error;
  }
}
