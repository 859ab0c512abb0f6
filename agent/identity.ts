/** Who this agent is: its host's name, its edge, and the key that never leaves the machine. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { join } from "node:path";
import { exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";
import { z } from "zod";
import { parseEdge } from "./edge.ts";
import { Failure } from "./failure.ts";
import { makeStateDir, readIfThere, writePrivate } from "./state-dir.ts";

/** How long an assertion is good for, in seconds: enough for one dial. */
const ASSERTION_LIFE_S = 60;
const AUDIENCE = "edgenova-agent";

const publicKey = z.object({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string() });
const privateKey = publicKey.extend({ d: z.string() });
const enrolment = z.object({ edge: z.string(), host: z.string().min(1).max(255) });

/** JWK of an Ed25519 public key (RFC 8037 §2). */
export type PublicKey = z.infer<typeof publicKey>;
export type Enrolment = z.infer<typeof enrolment>;

/** Signs with the host's key, and tells what it signed: what it keeps for itself, and what it says to other hosts. */
export type Signer = {
  /** `x` of the key's JWK. */
  publicKey: string;
  sign(said: string | Uint8Array): Uint8Array;
  verify(said: string | Uint8Array, signature: Uint8Array): boolean;
};

export type Identity = Enrolment & {
  signer: Signer;
  /** A JWT that proves to the edge, for the next 60 s, that this is the host. `nowMs` is the Unix time in ms. */
  assertion(nowMs?: number): Promise<string>;
};

/**
 * The public half of this host's key. The key is made at the first call and kept from then on, before anything is sent,
 * so that an enrolment that was cut off can be repeated with the same key.
 */
export async function ensureKey(stateDir: string): Promise<PublicKey> {
  makeStateDir(stateDir);
  const path = join(stateDir, "key.json");
  if (readJson(path) === null) {
    const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
    writePrivate(path, JSON.stringify(await exportJWK(pair.privateKey)), { replace: false });
  }
  // Read back: when two enrolments raced, both send the key that was stored.
  return publicKey.parse(readKey(path));
}

/** What an earlier enrolment stored; null when there was none. */
export function readEnrolment(stateDir: string): Enrolment | null {
  const path = join(stateDir, "host.json");
  const value = readJson(path);
  if (value === null) return null;
  const parsed = enrolment.safeParse(value);
  if (!parsed.success) throw new Failure(`${path} is damaged: remove it and enrol again`);
  return { edge: parseEdge(parsed.data.edge), host: parsed.data.host };
}

export function writeEnrolment(stateDir: string, { edge, host }: Enrolment): void {
  writePrivate(join(stateDir, "host.json"), `${JSON.stringify({ edge, host })}\n`, { replace: true });
}

/** Loads the enrolled identity. Throws `Failure` when this host is not enrolled. */
export async function loadIdentity(stateDir: string): Promise<Identity> {
  const enrolled = readEnrolment(stateDir);
  if (enrolled === null) {
    throw new Failure(`this host is not enrolled (no host.json in ${stateDir}): run "edgenova-agent enroll" first`);
  }
  const jwk = readKey(join(stateDir, "key.json"));
  const key = await importJWK(jwk, "EdDSA");
  return {
    ...enrolled,
    signer: signerOf(createPrivateKey({ key: jwk, format: "jwk" })),
    assertion: (nowMs = Date.now()) => {
      const iat = Math.floor(nowMs / 1000);
      return new SignJWT()
        .setProtectedHeader({ alg: "EdDSA" })
        .setIssuer(enrolled.host)
        .setAudience(AUDIENCE)
        .setIssuedAt(iat)
        .setExpirationTime(iat + ASSERTION_LIFE_S)
        .sign(key);
    },
  };
}

/** `key` is of Ed25519. */
export function signerOf(key: KeyObject): Signer {
  const half = createPublicKey(key);
  return {
    publicKey: publicKey.parse(half.export({ format: "jwk" })).x,
    sign: (said) => sign(null, bytesOf(said), key),
    verify: (said, signature) => verify(null, bytesOf(said), half, signature),
  };
}

/** Whether the holder of the key that a host enrolled with signed it. */
export function signedBy(publicKey: string, said: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" });
  return verify(null, said, key, signature);
}

const bytesOf = (said: string | Uint8Array) => (typeof said === "string" ? Buffer.from(said) : said);

function readKey(path: string): z.infer<typeof privateKey> {
  const parsed = privateKey.safeParse(readJson(path));
  if (!parsed.success) throw new Failure(`${path} is missing or damaged: remove it and host.json, and enrol again`);
  return parsed.data;
}

/** Null when the file does not exist; undefined when it is not JSON. */
function readJson(path: string): unknown {
  const text = readIfThere(path);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
