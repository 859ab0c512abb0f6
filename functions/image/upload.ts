/** A stream of any length into R2, in parts, with its size and hashes; never more than one part in memory. */
import { createHash } from "node:crypto";
import type { Uploaded } from "./images.ts";

/** R2 wants parts of one size, 5 MiB at the least and 10,000 at the most: this allows images of 156 GiB. */
const PART_BYTES = 16 * 1024 * 1024;

/** Stores `body` under `key`. A stream that breaks leaves nothing behind, and its error is thrown. */
export async function upload(
  bucket: R2Bucket,
  key: string,
  body: ReadableStream<Uint8Array>,
): Promise<Omit<Uploaded, "bytes">> {
  const md5 = createHash("md5");
  const sha512 = createHash("sha512");
  const multipart = await bucket.createMultipartUpload(key);
  const parts: R2UploadedPart[] = [];
  let size = 0;
  let part = new Uint8Array(PART_BYTES);
  let filled = 0;
  const flush = async () => {
    parts.push(await multipart.uploadPart(parts.length + 1, part.subarray(0, filled)));
    part = new Uint8Array(PART_BYTES);
    filled = 0;
  };
  try {
    for await (const chunk of body) {
      md5.update(chunk);
      sha512.update(chunk);
      size += chunk.length;
      for (let at = 0; at < chunk.length; ) {
        const taken = Math.min(PART_BYTES - filled, chunk.length - at);
        part.set(chunk.subarray(at, at + taken), filled);
        filled += taken;
        at += taken;
        if (filled === PART_BYTES) await flush();
      }
    }
    if (filled > 0 || parts.length === 0) await flush();
    await multipart.complete(parts);
  } catch (error) {
    await multipart.abort();
    throw error;
  }
  return { size, checksum: md5.digest("hex"), os_hash_value: sha512.digest("hex") };
}
