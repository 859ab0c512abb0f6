/** A token that is ours and still good, and who may call what below /identity. */
import type { Context } from "hono";
import type { AppEnv } from "../api/app-env.ts";
import { Fault, forbidden } from "../api/fault.ts";
import { causeOf, log } from "../log.ts";
import { revocationsOf } from "./revocation-cache.ts";
import { readToken, type TokenClaims } from "./token.ts";

/** Keystone's words for every way that a log-in or a token can be wrong. */
export const WRONG = "The request you have made requires authentication.";

/** What a token says; null when it is not ours, has expired or was taken back. */
export async function validToken(c: Context<AppEnv>, token: string): Promise<TokenClaims | null> {
  const said = await readToken(c.env, token);
  if (said === null) return null;
  try {
    const revoked = await revocationsOf(c.env).revoked(said, (work) => c.executionCtx.waitUntil(work));
    return revoked ? null : said;
  } catch (error) {
    // Nobody is let in on a list that may lack his name.
    log("revocations.unreachable", { request: c.var.requestId, cause: causeOf(error) });
    throw new Fault(503, "Tokens cannot be checked at the moment. Try again in a few seconds.", { "Retry-After": "5" });
  }
}

/** Who calls; 401 without a good token. A token without a project will do. */
export async function callerOf(c: Context<AppEnv>): Promise<TokenClaims> {
  const said = await validToken(c, c.req.header("x-auth-token") ?? "");
  if (said === null) throw new Fault(401, WRONG);
  return said;
}

export function isAdmin(said: TokenClaims): boolean {
  return said.roles.some((role) => role.name === "admin");
}

/** The caller, when he is an admin or `allowed` says that he may; 403 otherwise. `rule` as Keystone names it. */
export async function permitted(
  c: Context<AppEnv>,
  rule: string,
  allowed: (said: TokenClaims) => boolean = () => false,
): Promise<TokenClaims> {
  const said = await callerOf(c);
  if (!isAdmin(said) && !allowed(said)) throw denied(rule);
  return said;
}

export function denied(rule: string): Fault {
  return forbidden(`You are not authorized to perform the requested action: identity:${rule}.`);
}
