/** A user's token: a JWT signed with TOKEN_KEY, verified in the Worker with no storage on the way. */
import { z } from "zod";
import { config } from "../config.ts";
import type { Actor } from "./actor.ts";
import { readSigned, signFor } from "./signed.ts";

const AUDIENCE = "edgenova";

const named = z.object({ id: z.string(), name: z.string() });
const claims = z.object({
  user: named,
  project: named.nullable(),
  roles: z.array(named),
  methods: z.array(z.string()),
  app_credential: named.extend({ restricted: z.boolean() }).optional(),
  jti: z.string(),
  iat: z.number(),
  exp: z.number(),
});
/** What a token says. `iat` (to the millisecond) and `exp` in seconds since the epoch. */
export type TokenClaims = z.infer<typeof claims>;
/** What the Identity object lets a caller have; `at` is its own time, milliseconds, which orders revocations. */
export type Grant = Pick<TokenClaims, "user" | "project" | "roles" | "app_credential"> & { at: number };

/** A new token and what it says. `exp`: seconds since the epoch after which it may not live. */
export async function issueToken(
  env: Env,
  { at, ...who }: Grant,
  { methods, exp = Number.POSITIVE_INFINITY }: { methods: string[]; exp?: number },
): Promise<{ token: string; claims: TokenClaims }> {
  const options = config(env);
  const end = Math.min(Math.floor(at / 1000) + options.TOKEN_EXPIRATION, exp);
  const said = { ...who, methods, jti: crypto.randomUUID(), iat: at / 1000, exp: end };
  return { token: await signFor(env, AUDIENCE, said), claims: said };
}

/** Tokens of this isolate's last callers, with what they say: that a signature is good does not change. */
const known = new WeakMap<Env, Map<string, TokenClaims>>();
const MAX_KNOWN = 1000;

/** What a token says; null when it is not ours, was changed, or has expired. It may have been taken back since. */
export async function readToken(env: Env, token: string): Promise<TokenClaims | null> {
  const tokens = known.get(env) ?? new Map<string, TokenClaims>();
  const before = tokens.get(token);
  if (before && before.exp > Math.floor(Date.now() / 1000)) return before;
  tokens.delete(token);
  const said = await readSigned(env, AUDIENCE, claims, token);
  if (said === null) return null;
  const [oldest] = tokens.keys();
  if (oldest !== undefined && tokens.size >= MAX_KNOWN) tokens.delete(oldest);
  known.set(env, tokens.set(token, said));
  return said;
}

/** The actor behind a token; null when the token is not scoped to a project. */
export function actorOf(said: TokenClaims, request_id: string): Actor | null {
  if (said.project === null) return null;
  const roles = said.roles.map((role) => role.name);
  return {
    request_id,
    user_id: said.user.id,
    user_name: said.user.name,
    project_id: said.project.id,
    app_credential: said.app_credential?.id ?? null,
    is_admin: roles.includes("admin"),
    is_manager: roles.includes("manager"),
    is_service: roles.includes("service"),
    may_write: roles.includes("member"),
    may_read: roles.includes("reader"),
  };
}
