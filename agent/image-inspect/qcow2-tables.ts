/** Whether what a qcow2 image's tables point to is in the file: one that was cut off in an upload reads as zeros. */
import { type ImageBytes, MAX_READ_BYTES, Refused } from "./image-bytes.ts";
import type { Qcow2Header } from "./qcow2-header.ts";

/**
 * How much of the L2 tables is read, in bytes: with clusters of 64 KiB, those of 256 GiB of data. What is behind that is
 * not looked at, so that a crafted image costs no more than one of a usual size.
 */
const BUDGET_BYTES = 32 << 20;

const WORD = 2 ** 32;
/** Of an entry's upper half: bits 32 to 55 of the place, and the mark of compressed data. */
const PLACE_MASK = 0x00ff_ffff;
const COMPRESSED = 0x4000_0000;

/** Rejects with `Refused`. `header` is that of `bytes`. */
export async function checkQcow2Tables(bytes: ImageBytes, header: Qcow2Header): Promise<void> {
  const { cluster, l1 } = header;
  const seen = new Set<number>();
  for await (const part of parts(bytes, l1.offset, l1.entries * 8)) {
    for (let at = 0; at + 8 <= part.length; at += 8) {
      const table = placeOf(part, at);
      if (table === 0 || seen.has(table)) continue;
      if (table % cluster !== 0) throw new Refused("is damaged: its L1 table points into the middle of a cluster");
      if (table + cluster > bytes.size) throw cutOff();
      if ((seen.size + 1) * cluster > BUDGET_BYTES) continue;
      seen.add(table);
      await checkL2(bytes, table, header);
    }
  }
}

/** With sub-clusters every second word is a bitmap. */
async function checkL2(bytes: ImageBytes, table: number, { cluster, l2_entry }: Qcow2Header): Promise<void> {
  const compressedMask = 2 ** (30 - (Math.log2(cluster) - 8)) - 1;
  for await (const part of parts(bytes, table, cluster)) {
    for (let at = 0; at + 8 <= part.length; at += l2_entry) {
      const compressed = (part.readUInt32BE(at) & COMPRESSED) !== 0;
      const place = compressed ? placeOf(part, at, compressedMask, 0) : placeOf(part, at);
      if (place >= bytes.size) throw cutOff();
    }
  }
}

/** Standard places are of whole sectors; the low 9 bits say something else. */
function placeOf(part: Buffer, at: number, upper = PLACE_MASK, lowBits = 511): number {
  return (part.readUInt32BE(at) & upper) * WORD + ((part.readUInt32BE(at + 4) & ~lowBits) >>> 0);
}

const cutOff = () => new Refused("is truncated or damaged: some of its data is beyond its end");

async function* parts(bytes: ImageBytes, offset: number, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < length; at += MAX_READ_BYTES) {
    yield await bytes.read(offset + at, Math.min(MAX_READ_BYTES, length - at));
  }
}
