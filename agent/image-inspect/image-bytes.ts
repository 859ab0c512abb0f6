/** An image's bytes as the inspector reads them: a little at a time, and nothing beyond the end. */
import { type FileHandle, open } from "node:fs/promises";

/** What one read may ask for, in bytes: an image never says how much memory it takes to look at it. */
export const MAX_READ_BYTES = 1 << 20;

export type ImageBytes = {
  size: number;
  /** Shorter than `length` only where the image ends. */
  read(offset: number, length: number): Promise<Buffer>;
};

/** Why an image is refused: the end of a sentence that begins with "it". No other error is the image's own. */
export class Refused extends Error {
  override name = "Refused";
}

/** Opens `path` for `look`, and closes it. */
export async function withBytes<T>(path: string, look: (bytes: ImageBytes) => Promise<T>): Promise<T> {
  const file = await open(path, "r");
  try {
    return await look(await fileBytes(file));
  } finally {
    await file.close();
  }
}

async function fileBytes(file: FileHandle): Promise<ImageBytes> {
  const { size } = await file.stat();
  return {
    size,
    async read(offset, length) {
      const wanted = Math.min(length, MAX_READ_BYTES, Math.max(0, size - offset));
      const buffer = Buffer.alloc(wanted);
      let got = 0;
      while (got < wanted) {
        const { bytesRead } = await file.read(buffer, got, wanted - got, offset + got);
        if (bytesRead === 0) break;
        got += bytesRead;
      }
      return buffer.subarray(0, got);
    },
  };
}
