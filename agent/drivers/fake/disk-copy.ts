/** The disk of a guest that never writes: still what its image was, or the blank one beside an iso. */
import { copyFile, writeFile } from "node:fs/promises";
import type { GuestSpec, ImageRef } from "../../../functions/protocol/methods.ts";
import { DriverError } from "../driver.ts";
import { takeTime } from "./demo-orders.ts";

const BLANK_DISK_BYTES = 1024 * 1024;

/** Copies it to `path`; `image` finds an image's file. Rejects with NotSupported when there is no disk. */
export async function copyDisk(
  { image: ref, disk_gb, metadata }: GuestSpec,
  path: string,
  image: (ref: ImageRef) => Promise<string>,
): Promise<{ disk_format: ImageRef["disk_format"] }> {
  await takeTime(metadata, "snapshot");
  if (ref.disk_format !== "iso") {
    await copyFile(await image(ref), path);
    return { disk_format: ref.disk_format };
  }
  if (disk_gb === 0) throw new DriverError("NotSupported", "the guest has no disk of which to take a snapshot");
  await writeFile(path, new Uint8Array(BLANK_DISK_BYTES));
  return { disk_format: "raw" };
}
