/** VNC authentication (RFC 6143 §7.2.2): a challenge, encrypted with the password as a DES key whose bits are mirrored. */
import { createCipheriv } from "node:crypto";

export const CHALLENGE_BYTES = 16;
const KEY_BYTES = 8;

/** The answer to `challenge` (16 bytes). Of the password the first eight bytes count. */
export function vncResponse(password: string, challenge: Buffer): Buffer {
  const key = Buffer.alloc(KEY_BYTES);
  Buffer.from(password, "latin1").copy(key);
  for (const [at, byte] of key.entries()) key[at] = mirrored(byte);
  // Three times the same key makes triple DES single: OpenSSL 3 has no other left.
  const cipher = createCipheriv("des-ede3-ecb", Buffer.concat([key, key, key]), null).setAutoPadding(false);
  return Buffer.concat([cipher.update(challenge), cipher.final()]);
}

function mirrored(byte: number): number {
  let out = 0;
  for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) out |= 0x80 >> bit;
  return out;
}
