/** A token as Keystone shows it, with the catalog. */
import type { Context } from "hono";
import type { AppEnv } from "../api/app-env.ts";
import { originOf } from "../api/resource.ts";
import { config } from "../config.ts";
import { DEFAULT_DOMAIN } from "./tables.ts";
import type { TokenClaims } from "./token.ts";

export function tokenBody(c: Context<AppEnv>, said: TokenClaims): object {
  const scoped = said.project && {
    project: { ...said.project, domain: DEFAULT_DOMAIN },
    roles: said.roles,
    is_domain: false,
    catalog: catalog(c),
  };
  return {
    token: {
      methods: said.methods,
      user: { ...said.user, domain: DEFAULT_DOMAIN, password_expires_at: null },
      audit_ids: [said.jti],
      issued_at: new Date(said.iat * 1000).toISOString(),
      expires_at: new Date(said.exp * 1000).toISOString(),
      ...scoped,
      ...(said.app_credential ? { application_credential: said.app_credential } : {}),
    },
  };
}

export function catalog(c: Context<AppEnv>): object[] {
  const services = [
    { type: "identity", name: "keystone", path: "/identity/v3" },
    { type: "compute", name: "nova", path: "/compute/v2.1" },
    { type: "image", name: "glance", path: "/image" },
  ];
  const region = config(c.env).REGION_NAME;
  return services.map(({ type, name, path }) => ({
    id: type,
    type,
    name,
    endpoints: ["public", "internal", "admin"].map((kind) => ({
      id: `${type}-${kind}`,
      interface: kind,
      region,
      region_id: region,
      url: `${originOf(c)}${path}`,
    })),
  }));
}
