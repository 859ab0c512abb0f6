/** What this deployment signs for itself with TOKEN_KEY, each kind for an audience of its own (RFC 7519). */
import { base64url, type JWTPayload, jwtVerify, SignJWT } from "jose";
import type { z } from "zod";
import { type Config, config } from "../config.ts";

const ALGORITHM = "HS256";
const keys = new WeakMap<object, Uint8Array>();

/** A JWT of `said`; its `exp` (seconds since the epoch) bounds its life. */
export function signFor(env: Env, audience: string, said: JWTPayload & { exp: number }): Promise<string> {
  return new SignJWT(said)
    .setProtectedHeader({ alg: ALGORITHM })
    .setAudience(audience)
    .sign(keyOf(config(env)));
}

/** What `text` says to `audience`; null when it is not ours, was changed, is for another, or has expired. */
export async function readSigned<T>(env: Env, audience: string, claims: z.ZodType<T>, text: string): Promise<T | null> {
  try {
    const { payload } = await jwtVerify(text, keyOf(config(env)), { audience, algorithms: [ALGORITHM] });
    return claims.parse(payload);
  } catch {
    return null;
  }
}

function keyOf(options: Config): Uint8Array {
  const known = keys.get(options);
  if (known) return known;
  const key = base64url.decode(options.TOKEN_KEY);
  keys.set(options, key);
  return key;
}
