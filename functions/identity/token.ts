/** A user's token: a JWT signed with TOKEN_KEY, verified in the Worker with no storage on the way. */
import { base64url, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { type Config, config } from "../config.ts";
import type { Actor } from "./actor.ts";

const AUDIENCE = "edgenova";

const named = z.object({ id: z.string(), name: z.string() });
const claims = z.object({
  user: named,
  project: named.nullable(),
  roles: z.array(named),
  method: z.string(),
  jti: z.string(),
  iat: z.number(),
  exp: z.number(),
});
/** What a token says. `iat` and `exp` in seconds since the epoch. */
export type TokenClaims = z.infer<typeof claims>;

const keys = new WeakMap<object, Uint8Array>();

/** The bytes of TOKEN_KEY. */
export function signingKey(options: Config): Uint8Array {
  const known = keys.get(options);
  if (known) return known;
  const key = base64url.decode(options.TOKEN_KEY);
  keys.set(options, key);
  return key;
}

/** A new token and what it says. */
export async function issueToken(
  env: Env,
  who: Pick<TokenClaims, "user" | "project" | "roles" | "method">,
): Promise<{ token: string; claims: TokenClaims }> {
  const options = config(env);
  const iat = Math.floor(Date.now() / 1000);
  const said = { ...who, jti: crypto.randomUUID(), iat, exp: iat + options.TOKEN_EXPIRATION };
  const token = await new SignJWT(said)
    .setProtectedHeader({ alg: "HS256" })
    .setAudience(AUDIENCE)
    .sign(signingKey(options));
  return { token, claims: said };
}

/** What a token says; null when it is not ours, was changed, or has expired. */
export async function readToken(env: Env, token: string): Promise<TokenClaims | null> {
  try {
    const options = { audience: AUDIENCE, algorithms: ["HS256"] };
    const { payload } = await jwtVerify(token, signingKey(config(env)), options);
    return claims.parse(payload);
  } catch {
    return null;
  }
}

/** The actor behind a token; null when the token is not scoped to a project. */
export function actorOf(said: TokenClaims, request_id: string): Actor | null {
  if (said.project === null) return null;
  const roles = said.roles.map((role) => role.name);
  return {
    request_id,
    user_id: said.user.id,
    project_id: said.project.id,
    is_admin: roles.includes("admin"),
    may_write: ["admin", "manager", "member"].some((role) => roles.includes(role)),
  };
}
