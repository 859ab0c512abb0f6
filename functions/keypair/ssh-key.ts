/** SSH keys: their wire format (RFC 4253 §6.6, RFC 5656, RFC 8709), fingerprints, and new Ed25519 pairs. */
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";

/** How many fields each type's blob has after its name. */
const FIELDS: Record<string, number> = {
  "ssh-rsa": 2,
  "ssh-dss": 4,
  "ssh-ed25519": 1,
  "ecdsa-sha2-nistp256": 2,
  "ecdsa-sha2-nistp384": 2,
  "ecdsa-sha2-nistp521": 2,
  "sk-ssh-ed25519@openssh.com": 2,
  "sk-ecdsa-sha2-nistp256@openssh.com": 3,
};

const ED25519 = "ssh-ed25519";

/** The MD5 of an SSH public key's blob, as Nova shows it; null for what is no key in one line. */
export function sshFingerprint(publicKey: string): string | null {
  const [type = "", base64 = ""] = publicKey.trim().split(/ +/, 2);
  if (/[\r\n]/.test(publicKey.trim()) || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  const blob = Buffer.from(base64, "base64");
  const fields = fieldsOf(blob);
  if (fields === null || fields[0]?.toString("latin1") !== type) return null;
  const wanted = Object.hasOwn(FIELDS, type) ? FIELDS[type] : undefined;
  if (fields.length - 1 !== wanted || fields.some((field) => field.length === 0)) return null;
  if (type === ED25519 && fields[1]?.length !== 32) return null;
  return colons(createHash("md5").update(blob).digest());
}

/** The SHA-1 of a certificate, as Nova shows it; null for what is no certificate in PEM. */
export function x509Fingerprint(certificate: string): string | null {
  try {
    return colons(createHash("sha1").update(new X509Certificate(certificate).raw).digest());
  } catch {
    return null;
  }
}

/** A new pair: the public key in one line, the private one in OpenSSH's own format, without a passphrase. */
export async function generateSshKey(): Promise<{ public_key: string; private_key: string }> {
  const pair = (await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])) as CryptoKeyPair;
  const jwk = (await crypto.subtle.exportKey("jwk", pair.privateKey)) as JsonWebKey;
  const [point, seed] = [Buffer.from(jwk.x ?? "", "base64url"), Buffer.from(jwk.d ?? "", "base64url")];
  const comment = "Generated-by-Nova";
  const blob = Buffer.concat([field(ED25519), field(point)]);
  const public_key = `${ED25519} ${blob.toString("base64")} ${comment}`;
  return { public_key, private_key: privateFile(blob, { point, seed, comment }) };
}

type Ed25519Pair = { point: Buffer; seed: Buffer; comment: string };

/** openssh/PROTOCOL.key: the check number twice, the key, and padding to the cipher's block, here 8 bytes. */
function privateFile(blob: Buffer, { point, seed, comment }: Ed25519Pair): string {
  const check = crypto.getRandomValues(Buffer.alloc(4));
  const secret = Buffer.concat([check, check, blob, field(Buffer.concat([seed, point])), field(comment)]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1));
  const file = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    uint32(1),
    field(blob),
    field(Buffer.concat([secret, padding])),
  ]);
  const lines = file.toString("base64").match(/.{1,70}/g) ?? [];
  return ["-----BEGIN OPENSSH PRIVATE KEY-----", ...lines, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n");
}

/** The strings that a blob is made of; null when it is not made of whole ones. */
function fieldsOf(blob: Buffer): Buffer[] | null {
  const fields: Buffer[] = [];
  for (let at = 0; at < blob.length; ) {
    if (at + 4 > blob.length) return null;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return null;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return fields;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

const colons = (digest: Buffer) => digest.toString("hex").match(/../g)?.join(":") ?? "";
