/**
 * Passwords at rest: scrypt (RFC 7914), its cost beside each hash so that it can rise later. Hashing runs in the
 * Worker, not in the Identity object, which would stand still for everybody meanwhile.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** 2^14 blocks of 8 * 128 bytes: 16 MiB for each log-in in flight, of the 128 MiB that an isolate has. */
const COST = { N: 2 ** 14, r: 8, p: 1 } as const;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** No stored text may make us take more than this. */
const MAX_MEMORY_BYTES = 64 * 1024 * 1024;

type Cost = { N: number; r: number; p: number };

/** `scrypt$N$r$p$salt$key`, the last two in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, salt, COST);
  return ["scrypt", COST.N, COST.r, COST.p, salt.toString("base64url"), key.toString("base64url")].join("$");
}

/** Whether `password` is the one hashed; where there is none (null), it takes as long to say no. */
export async function verifyPassword(stored: string | null, password: string): Promise<boolean> {
  const [scheme, n, r, p, salt = "", key = ""] = (stored ?? NOBODYS).split("$");
  const expected = Buffer.from(key, "base64url");
  if (scheme !== "scrypt" || expected.length !== KEY_BYTES) return false;
  const cost = { N: Number(n), r: Number(r), p: Number(p) };
  const given = await derive(password, Buffer.from(salt, "base64url"), cost);
  return timingSafeEqual(given, expected) && stored !== null;
}

/** Compares without telling by its time where the texts differ; a wrong length compares a text with itself. */
export function sameSecret(given: string, secret: string): boolean {
  const encoder = new TextEncoder();
  const [a, b] = [encoder.encode(given), encoder.encode(secret)];
  const equal = timingSafeEqual(a.length === b.length ? a : b, b);
  return equal && a.length === b.length;
}

/** A hash of nothing, at the same cost. */
const NOBODYS = `scrypt$${COST.N}$${COST.r}$${COST.p}$${"A".repeat(22)}$${"A".repeat(43)}`;

function derive(password: string, salt: Uint8Array, cost: Cost): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, KEY_BYTES, { ...cost, maxmem: MAX_MEMORY_BYTES }, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}
