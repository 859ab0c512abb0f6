/** Tokens of users that a test makes up: signed as the edge signs them. */
import { base64url, SignJWT } from "jose";
import { TEST_SECRETS } from "./secrets.ts";

export type TestUser = { user: string; project: string; roles: string[] };

export function tokenOf({ user, project, roles }: TestUser): Promise<string> {
  const iat = Math.floor(Date.now() / 1000);
  const named = (name: string) => ({ id: name, name });
  const said = { user: named(user), project: named(project), roles: roles.map(named), method: "password", jti: user };
  return new SignJWT({ ...said, iat, exp: iat + 3600 })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience("edgenova")
    .sign(base64url.decode(TEST_SECRETS.TOKEN_KEY));
}
