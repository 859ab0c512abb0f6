/** Whether bytes are an ISO 9660 image (ECMA-119 §8.4): its primary volume descriptor, in the sector after the 16th. */
import { type ImageBytes, Refused } from "./image-bytes.ts";

const SECTOR_BYTES = 2048;
const DESCRIPTORS_AT = 16 * SECTOR_BYTES;
/** Boot records and others may stand before it; nobody writes more. */
const MAX_DESCRIPTORS = 16;
const PRIMARY = 1;
const SPACE_SIZE_AT = 80;
const BLOCK_SIZE_AT = 128;

/** Rejects with `Refused` when it is none, or when it ends before its volume does. */
export async function checkIso9660(bytes: ImageBytes): Promise<void> {
  const sectors = await bytes.read(DESCRIPTORS_AT, MAX_DESCRIPTORS * SECTOR_BYTES);
  for (let at = 0; at + SECTOR_BYTES <= sectors.length; at += SECTOR_BYTES) {
    const descriptor = sectors.subarray(at, at + SECTOR_BYTES);
    if (descriptor.toString("latin1", 1, 6) !== "CD001") break;
    if (descriptor[0] === PRIMARY) return checkSize(descriptor, bytes.size);
  }
  throw new Refused("is not ISO 9660, as its disk format says");
}

function checkSize(primary: Buffer, size: number): void {
  const volume = primary.readUInt32LE(SPACE_SIZE_AT) * primary.readUInt16LE(BLOCK_SIZE_AT);
  if (volume === 0) throw new Refused("is an ISO 9660 image of no size");
  if (volume > size) throw new Refused(`is truncated: its volume has ${volume} bytes, the image ${size}`);
}
