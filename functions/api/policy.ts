/** Who may do what (nova/policies): readers read, members change, admins do the rest. */
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { actorOf } from "../identity/token.ts";
import { validToken } from "../identity/valid-token.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault, forbidden } from "./fault.ts";
import { projectIn } from "./project-path.ts";

const UNAUTHORIZED = "The request you have made requires authentication.";

/** Turns X-Auth-Token into the actor; 401 without a good one. */
export const authenticated = createMiddleware<AppEnv>(async (c, next) => {
  const said = await validToken(c, c.req.header("x-auth-token") ?? "");
  const actor = said && actorOf(said, c.var.requestId);
  if (!actor)
    throw new Fault(401, UNAUTHORIZED, { "WWW-Authenticate": `Keystone uri="${new URL(c.req.url).origin}/identity"` });
  c.set("actor", actor);
  await next();
});

/** 400 when the URL names another project than the token, 403 for who has no role that is known here. */
export const admitted = createMiddleware<AppEnv>(async (c, next) => {
  const { actor } = c.var;
  const project = projectIn(c.req.url);
  if (project !== undefined && project !== actor.project_id) {
    throw badRequest("Malformed request URL: URL's project_id doesn't match context's project_id");
  }
  // A role of the operator's own making gives nothing here.
  if (!actor.may_read && !actor.is_service) throw denied("this request");
  await next();
});

/** Each role has what the one before it has; `service` is for other services alone, and for admins. */
export type Role = "reader" | "member" | "manager" | "admin" | "service";

/** 403 unless the caller has the role, or one that implies it. */
export function requireRole(c: Context<AppEnv>, role: Role, rule: string): void {
  const { is_admin, is_manager, is_service, may_read, may_write } = c.var.actor;
  const passes = {
    reader: may_read,
    member: may_write,
    manager: is_manager || is_admin,
    admin: is_admin,
    service: is_service || is_admin,
  };
  if (!passes[role]) throw denied(rule);
}

/** For APIs that other services have no part in. */
export const readersOnly = createMiddleware<AppEnv>(async (c, next) => {
  requireRole(c, "reader", "this request");
  await next();
});

export function requireMember(c: Context<AppEnv>, rule: string): void {
  if (!c.var.actor.may_write) throw denied(rule);
}

export function requireAdmin(c: Context<AppEnv>, rule: string): void {
  if (!c.var.actor.is_admin) throw denied(rule);
}

/** For what readers of `project` may see, and admins of any. */
export function requireReaderOf(c: Context<AppEnv>, project: string, rule: string): void {
  if (!c.var.actor.is_admin && c.var.actor.project_id !== project) throw denied(rule);
}

function denied(rule: string): Fault {
  return forbidden(`Policy doesn't allow ${rule} to be performed.`);
}
