/**
 * Looks at an image before any other program does, and refuses what is not plainly what it is said to be (nova:
 * virt/images.py do_image_deep_inspection, image/format_inspector.py; CVE-2022-47951, CVE-2024-32498, CVE-2024-40767).
 *
 * A format is never found out, only confirmed: raw bytes with the signature of another format are refused although
 * nobody here would probe them, since an operator's own qemu-img would. What an image costs to look at is bounded.
 */
import type { ImageRef } from "../../functions/protocol/methods.ts";
import { DriverError } from "../drivers/driver.ts";
import { archiveOf, CALLED, diskFormatOf, HEAD_BYTES } from "./formats.ts";
import { type ImageBytes, Refused, withBytes } from "./image-bytes.ts";
import { checkIso9660 } from "./iso9660.ts";
import { type Qcow2Header, readQcow2Header } from "./qcow2-header.ts";
import { checkQcow2Tables } from "./qcow2-tables.ts";

type Claim = Pick<ImageRef, "id" | "disk_format">;

/** The size of the disk that is in the image, in bytes. Rejects with `DriverError` ImageUnacceptable. */
export function virtualSizeOf(path: string, claim: Claim): Promise<number> {
  return refusing(claim, () => withBytes(path, async (bytes) => (await readHeaders(bytes, claim)).virtual_size));
}

/** As `virtualSizeOf`, and looks at the tables behind the headers too. */
export function inspectImage(path: string, claim: Claim): Promise<void> {
  return refusing(claim, () => withBytes(path, (bytes) => inspectBytes(bytes, claim)));
}

/** Rejects with `Refused`. */
export async function inspectBytes(bytes: ImageBytes, claim: Pick<Claim, "disk_format">): Promise<void> {
  const { qcow2 } = await readHeaders(bytes, claim);
  if (qcow2) await checkQcow2Tables(bytes, qcow2);
}

/**
 * The size of a guest's own disk, a qcow2 file that another host made, in bytes. `overlay`: it leans on another file, and
 * which it names is not looked at. Rejects with `Refused` when it is no qcow2 file, or is more than one.
 */
export function ownDiskSizeOf(path: string, { overlay }: { overlay: boolean }): Promise<number> {
  return withBytes(path, async (bytes) => {
    if (diskFormatOf(await bytes.read(0, HEAD_BYTES)) !== "qcow2") throw new Refused("is not a qcow2 disk");
    return (await readQcow2Header(bytes, { overlay })).virtual_size;
  });
}

type Headers = { virtual_size: number; qcow2?: Qcow2Header };

async function readHeaders(bytes: ImageBytes, { disk_format }: Pick<Claim, "disk_format">): Promise<Headers> {
  if (bytes.size === 0) throw new Refused("is empty");
  const head = await bytes.read(0, HEAD_BYTES);
  const found = diskFormatOf(head);
  const claimed = `${CALLED[disk_format]}, as its disk format says`;
  if (found === "qcow2" && disk_format === "qcow2") {
    const qcow2 = await readQcow2Header(bytes);
    return { virtual_size: qcow2.virtual_size, qcow2 };
  }
  if (found !== null) throw new Refused(`is a ${found} image and not ${claimed}`);
  const archive = archiveOf(head);
  if (archive !== null) throw new Refused(`is compressed with ${archive}: upload what is in it`);
  if (disk_format === "qcow2") throw new Refused(`is not ${claimed}`);
  if (disk_format === "iso") await checkIso9660(bytes);
  return { virtual_size: bytes.size };
}

async function refusing<T>({ id }: Claim, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new DriverError("ImageUnacceptable", `Image ${id} is unacceptable: it ${error.message}`);
  }
}
