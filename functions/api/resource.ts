/** One path with its methods; any other method is a 405 that names them, as Nova's router answers. */
import type { Context, Handler, Hono } from "hono";
import type { AppEnv } from "./app-env.ts";
import { Fault } from "./fault.ts";
import { projectIn } from "./project-path.ts";

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export function resource(app: Hono<AppEnv>, path: string, handlers: Partial<Record<Method, Handler<AppEnv>>>): void {
  for (const [method, handler] of Object.entries(handlers)) app.on(method, path, handler);
  const allow = Object.keys(handlers).join(", ");
  app.all(path, () => {
    throw new Fault(405, "The method is not allowed for this resource.", { Allow: allow });
  });
}

/** The deployment's address as the caller sees it. */
export function originOf(c: Context): string {
  return new URL(c.req.url).origin;
}

type Base = { self: string; bookmark: string };
const bases = new WeakMap<Context, Base>();

/** Where the compute API's resources are for this caller: with the project, if the URL that was called had it. */
export function computeBase(c: Context<AppEnv>): Base {
  const known = bases.get(c);
  if (known) return known;
  const [origin, project] = [originOf(c), projectIn(c.req.url)];
  const tail = project === undefined ? "" : `/${project}`;
  const base = {
    self: `${origin}/compute/${c.var.legacy ? "v2" : "v2.1"}${tail}`,
    bookmark: `${origin}/compute${tail}`,
  };
  // A list has a thousand links of it.
  bases.set(c, base);
  return base;
}

/** The `links` of one item of a collection. */
export function links(c: Context<AppEnv>, collection: string, id: string): { rel: string; href: string }[] {
  const { self, bookmark } = computeBase(c);
  return [
    { rel: "self", href: `${self}/${collection}/${id}` },
    { rel: "bookmark", href: `${bookmark}/${collection}/${id}` },
  ];
}

/** `<collection>_links` to the page after `marker`, with the rest of the query kept. */
export function nextLink(c: Context<AppEnv>, collection: string, marker: string): { rel: "next"; href: string }[] {
  const url = new URL(c.req.url);
  url.searchParams.set("marker", marker);
  return [{ rel: "next", href: `${computeBase(c).self}/${collection}?${url.searchParams}` }];
}
