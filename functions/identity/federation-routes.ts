/** Keystone's federation path: a JWT of the outside issuer for an unscoped token, which keystoneauth then rescopes. */

import type { Context, Hono } from "hono";
import { type JWTPayload, jwtVerify } from "jose";
import type { AppEnv } from "../api/app-env.ts";
import { Fault, notFound } from "../api/fault.ts";
import { resource } from "../api/resource.ts";
import { name as validName } from "../api/schema/fields.ts";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import { fitting } from "./claim-rules.ts";
import { IssuerUnreachable, issuerKeys } from "./issuer-keys.ts";
import { limitAddress } from "./match-password.ts";
import { revocationsOf } from "./revocation-cache.ts";
import { issueToken } from "./token.ts";
import { tokenBody } from "./token-body.ts";
import { WRONG } from "./valid-token.ts";

const PROTOCOL = "openid";
/** Signatures whose check needs no secret: a public key is never taken for one (RFC 8725 3.1). */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
/** Seconds that the issuer's clock and ours may differ. */
const CLOCK_TOLERANCE = 30;
const MAX_JWT_CHARACTERS = 16_384;

export function federationRoutes(app: Hono<AppEnv>): void {
  const path = "/v3/OS-FEDERATION/identity_providers/:idp/protocols/:protocol/auth";
  resource(app, path, { GET: exchange, POST: exchange });
}

async function exchange(c: Context<AppEnv>): Promise<Response> {
  await limitAddress(c);
  const options = config(c.env);
  const { idp = "", protocol = "" } = c.req.param();
  if (options.OIDC_ISSUER === "" || idp !== options.OIDC_IDENTITY_PROVIDER || protocol !== PROTOCOL) {
    throw notFound(
      `Could not find federated protocol ${protocol.slice(0, 64)} for Identity Provider: ${idp.slice(0, 64)}.`,
    );
  }
  const jwt = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  const claims = await verified(c, jwt);
  const { sub } = claims;
  if (!sub) throw new Fault(401, WRONG);
  const roles = fitting(options.OIDC_MAPPING, claims).map(({ project, role }) => ({ project, role }));
  const called = validName.safeParse(claims[options.OIDC_USERNAME_CLAIM]);
  const id = await idOf(options.OIDC_ISSUER, sub);
  const name = called.success ? called.data.slice(0, 200) : id;
  const granted = await c.env.IDENTITY.getByName("default").federate({ id, name, roles });
  if (!granted.ok) throw new Fault(401, WRONG);
  // Roles may have gone.
  revocationsOf(c.env).expire();
  const { token, claims: said } = await issueToken(c.env, granted.value, { methods: ["mapped"] });
  return c.json(tokenBody(c, said), 201, { "X-Subject-Token": token });
}

async function verified(c: Context<AppEnv>, jwt: string): Promise<JWTPayload> {
  const { OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience, OIDC_JWKS_URL: url } = config(c.env);
  if (jwt.length > MAX_JWT_CHARACTERS) throw new Fault(401, WRONG);
  const keys = issuerKeys(url);
  try {
    const { payload } = await jwtVerify(jwt, (header, token) => keys.find(header, token), {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ["sub", "exp"],
      clockTolerance: CLOCK_TOLERANCE,
    });
    return payload;
  } catch (error) {
    log("oidc.refused", { request: c.var.requestId, cause: causeOf(error) });
    if (!(error instanceof IssuerUnreachable)) throw new Fault(401, WRONG);
    throw new Fault(503, "The identity provider's keys cannot be had at the moment.", { "Retry-After": "30" });
  }
}

/** The same user for ever: an issuer never gives a subject to another (OpenID Connect Core 2). */
async function idOf(issuer: string, subject: string): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify([issuer, subject]));
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes))
    .toString("hex")
    .slice(0, 32);
}
