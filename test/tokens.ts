/** Tokens of users that no test edge has: signed with its key, as its identity service would. */
import { base64url, SignJWT } from "jose";
import { DEMO_PROJECT } from "./edge.ts";
import { TEST_SECRETS } from "./secrets.ts";

export type TestUser = { user?: string; project?: string; roles?: readonly string[] };

/** A token of a member of the demo project, unless told otherwise. */
export function tokenOf({
  user = "u".repeat(32),
  project = DEMO_PROJECT,
  roles = ["member", "reader"],
}: TestUser = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const named = (id: string) => ({ id, name: id });
  const said = { user: named(user), project: named(project), roles: roles.map(named), method: "password" };
  return new SignJWT({ ...said, jti: crypto.randomUUID(), iat, exp: iat + 3600 })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience("edgenova")
    .sign(base64url.decode(TEST_SECRETS.TOKEN_KEY));
}
