/**
 * What becomes of a guest whose migration ends in a failure after it was switched by post-copy: a part of its memory is at
 * either end, so that it can go on at neither. It is lost, and what it wrote to its disks is at the destination.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError } from "../driver.ts";
import { isLibvirtError, VIR_ERR } from "./errors.ts";
import { type Domain, JOB, type Libvirt } from "./procedures.ts";

const POLL_MS = 500;

/**
 * Resolves when the guest has gone to the other host with all of its memory. Rejects with `failed`, why its migration
 * was cut off, when the guest is here as it was before; with PostCopyFailed when it is lost.
 */
export async function settlePostCopy(libvirt: Libvirt, domain: Domain, failed: unknown): Promise<void> {
  for (;;) {
    try {
      const state = await libvirt.migration.postCopy(domain);
      if (state === null) break;
      // It goes on by itself where it was not the memory's way that broke.
      if (state === "failed" || (await libvirt.job(domain, "now")) === JOB.NONE) throw lost(failed);
    } catch (error) {
      if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return;
      throw error;
    }
    await sleep(POLL_MS);
  }
  throw failed;
}

function lost(cause: unknown): DriverError {
  const why = "the guest was lost on its way: the hosts lost each other while a part of its memory was still to follow";
  return new DriverError("PostCopyFailed", why, { cause });
}
