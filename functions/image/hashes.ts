/** The hashes that Glance keeps of an image, and its size, taken of its bytes as they pass. */
import { createHash } from "node:crypto";

export class Hashes {
  readonly #md5 = createHash("md5");
  readonly #sha512 = createHash("sha512");
  /** Bytes so far. */
  size = 0;

  update(chunk: Uint8Array): void {
    this.#md5.update(chunk);
    this.#sha512.update(chunk);
    this.size += chunk.length;
  }

  /** Once, at the end. */
  digest(): { size: number; checksum: string; os_hash_value: string } {
    return { size: this.size, checksum: this.#md5.digest("hex"), os_hash_value: this.#sha512.digest("hex") };
  }
}
