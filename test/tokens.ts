/** Tokens of users that a test makes up: signed as the edge signs them. */
import { base64url, SignJWT } from "jose";
import { DEMO_PROJECT } from "./edge.ts";
import { TEST_SECRETS } from "./secrets.ts";

export type TestUser = { user?: string; project?: string; roles?: readonly string[] };

/** Each role with what stands below it, as a token carries them. */
const RANKS = ["reader", "member", "manager", "admin"];
const expanded = (roles: readonly string[]) => [
  ...new Set(roles.flatMap((role) => (RANKS.includes(role) ? RANKS.slice(0, RANKS.indexOf(role) + 1) : [role]))),
];

/** A token of a member of the demo project, unless told otherwise. */
export function tokenOf({ user = "u".repeat(32), project = DEMO_PROJECT, roles = ["member"] }: TestUser = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const named = (name: string) => ({ id: name, name });
  const who = { user: named(user), project: named(project), roles: expanded(roles).map(named) };
  return new SignJWT({ ...who, methods: ["password"], jti: crypto.randomUUID(), iat, exp: iat + 3600 })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience("edgenova")
    .sign(base64url.decode(TEST_SECRETS.TOKEN_KEY));
}
