/** /v3/users, /v3/projects and /v3/roles: listed, shown, created, changed and deleted alike. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { conflict, type Fault, forbidden, notFound } from "../api/fault.ts";
import { resource } from "../api/resource.ts";
import { boolean, name } from "../api/schema/fields.ts";
import { jsonBody, query } from "../api/validate.ts";
import type { Entity, Fields, Kind, Refusal } from "./directory.ts";
import { page, projectView, roleView, userView } from "./entity-views.ts";
import { hashPassword } from "./password.ts";
import { revocationsOf } from "./revocation-cache.ts";
import { DEFAULT_DOMAIN } from "./tables.ts";
import type { TokenClaims } from "./token.ts";
import { permitted } from "./valid-token.ts";

const text = z.string().max(255);
const description = z
  .string()
  .max(4096)
  .nullable()
  .transform((value) => value ?? "");
/** There is one domain, and null means it too. */
const domain_id = z.literal(DEFAULT_DOMAIN.id).nullable().optional();
const base = { name, description: description.optional(), domain_id };
const role = z.object({ ...base, domain_id: z.null().optional() });
const project = z.object({ ...base, name: name.max(64), enabled: z.boolean().optional() });
const user = z.object({
  ...base,
  enabled: z.boolean().optional(),
  email: text.nullable().optional(),
  default_project_id: text.nullable().optional(),
  password: z.string().min(1).max(4096).nullable().optional(),
});

const last = z.array(text).transform((values) => values.at(-1) ?? "");
const filters = z.object({
  name: last.optional(),
  enabled: last.pipe(boolean as z.ZodType<boolean, string>).optional(),
  domain_id: last.optional(),
});

type Given = Fields & { name: string };
type Of = {
  kind: Kind;
  create: z.ZodType<Given>;
  update: z.ZodType<Fields>;
  view: (c: Context, entity: Entity) => object;
  /** Who may see one besides admins. */
  visible: (said: TokenClaims, id: string) => boolean;
};

const KINDS: readonly Of[] = [
  {
    kind: "user",
    create: z.object({ user }).transform((body) => body.user),
    update: z.object({ user: user.partial() }).transform((body) => body.user),
    view: userView,
    visible: (said, id) => said.user.id === id,
  },
  {
    kind: "project",
    create: z.object({ project }).transform((body) => body.project),
    update: z.object({ project: project.partial() }).transform((body) => body.project),
    view: projectView,
    visible: (said, id) => said.project?.id === id,
  },
  {
    kind: "role",
    create: z.object({ role }).transform((body) => body.role),
    update: z.object({ role: role.partial() }).transform((body) => body.role),
    view: roleView,
    visible: () => false,
  },
];

export function entityRoutes(app: Hono<AppEnv>): void {
  for (const of of KINDS) {
    resource(app, `/v3/${of.kind}s`, { GET: (c) => list(c, of), POST: (c) => create(c, of) });
    resource(app, `/v3/${of.kind}s/:id`, {
      GET: (c) => show(c, of),
      PATCH: (c) => update(c, of),
      DELETE: (c) => remove(c, of),
    });
  }
}

async function list(c: Context<AppEnv>, { kind, view }: Of): Promise<Response> {
  await permitted(c, `list_${kind}s`);
  const { domain_id: domain, ...filter } = query(c, filters);
  // Roles are of no domain, and Keystone lists them as such.
  const here = kind === "role" ? domain === undefined : domain === undefined || domain === DEFAULT_DOMAIN.id;
  const found = here ? await identity(c).list(kind, filter) : [];
  const shown = found.map((entity) => view(c, entity));
  return c.json(page(c, `${kind}s`, shown));
}

async function create(c: Context<AppEnv>, { kind, create: schema, view }: Of): Promise<Response> {
  await permitted(c, `create_${kind}`);
  const fields = await jsonBody(c, schema);
  const made = await identity(c).create(kind, { ...(await stored(fields)), name: fields.name });
  if (!made.ok) throw refused(made.error, kind, fields.name);
  return c.json({ [kind]: view(c, made.value) }, 201);
}

async function show(c: Context<AppEnv>, { kind, view, visible }: Of): Promise<Response> {
  const id = c.req.param("id") ?? "";
  await permitted(c, `get_${kind}`, (said) => visible(said, id));
  const found = await identity(c).show(kind, id);
  if (found === null) throw missing(kind, id);
  return c.json({ [kind]: view(c, found) });
}

async function update(c: Context<AppEnv>, { kind, update: schema, view }: Of): Promise<Response> {
  await permitted(c, `update_${kind}`);
  const id = c.req.param("id") ?? "";
  const fields = await jsonBody(c, schema);
  const updated = await identity(c).update(kind, id, await stored(fields));
  if (!updated.ok) throw refused(updated.error, kind, updated.error === "conflict" ? (fields.name ?? id) : id);
  revocationsOf(c.env).expire();
  return c.json({ [kind]: view(c, updated.value) });
}

async function remove(c: Context<AppEnv>, { kind }: Of): Promise<Response> {
  await permitted(c, `delete_${kind}`);
  const id = c.req.param("id") ?? "";
  const removed = await identity(c).remove(kind, id);
  if (!removed.ok) throw refused(removed.error, kind, id);
  revocationsOf(c.env).expire();
  return c.body(null, 204);
}

/** The fields with the password as it is kept. */
async function stored(fields: Fields): Promise<Fields> {
  const { password, ...rest } = fields;
  if (password === undefined) return rest;
  return { ...rest, password: password === null ? null : await hashPassword(password) };
}

export function missing(kind: Kind, id: string): Fault {
  return notFound(`Could not find ${kind}: ${id.slice(0, 255)}.`);
}

export function refused(refusal: Refusal, kind: Kind, which: string): Fault {
  switch (refusal) {
    case "not_found":
      return missing(kind, which);
    case "conflict":
      return conflict(
        `Conflict occurred attempting to store ${kind} - Duplicate entry found with name ${which} at domain ID default.`,
      );
    case "protected":
      return forbidden(`The deployment itself rests on this ${kind}: it stays as it is.`);
    default:
      throw new Error(refusal satisfies never);
  }
}

function identity(c: Context<AppEnv>) {
  return c.env.IDENTITY.getByName("default");
}
