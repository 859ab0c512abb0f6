/** A stream of any length into R2, in parts, with its size and hashes; never more than one part in memory. */
import { PART_BYTES } from "../protocol/upload.ts";
import { Hashes } from "./hashes.ts";
import type { Uploaded } from "./images.ts";

/** Stores `body` under `key`. A stream that breaks leaves nothing behind, and its error is thrown. */
export async function upload(
  bucket: R2Bucket,
  key: string,
  body: ReadableStream<Uint8Array>,
): Promise<Omit<Uploaded, "bytes">> {
  const hashes = new Hashes();
  const multipart = await bucket.createMultipartUpload(key);
  const parts: R2UploadedPart[] = [];
  let part = new Uint8Array(PART_BYTES);
  let filled = 0;
  const flush = async () => {
    parts.push(await multipart.uploadPart(parts.length + 1, part.subarray(0, filled)));
    part = new Uint8Array(PART_BYTES);
    filled = 0;
  };
  try {
    for await (const chunk of body) {
      hashes.update(chunk);
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
  return hashes.digest();
}
