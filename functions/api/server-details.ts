/** /servers/{id}/metadata and /tags (nova/api/openstack/compute/server_metadata.py, server_tags.py). */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { DetailsChange, DetailsError } from "../conductor/details.ts";
import type { ServerRecord } from "../conductor/record.ts";
import type { ActionError } from "../conductor/server.ts";
import { quotaMessage } from "../project/quota.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, type Fault, forbidden, instanceNotFound, notFound } from "./fault.ts";
import { requireMember } from "./policy.ts";
import { computeBase, resource } from "./resource.ts";
import { metadata as items, tag as tagName, tags } from "./schema/fields.ts";
import { actionFault, serverOf } from "./servers.ts";
import { jsonBody, parse } from "./validate.ts";

/** Tags came with this microversion. */
const TAGS_MINOR = 26;

const METADATA = "os_compute_api:server-metadata";
const TAGS = "os_compute_api:os-server-tags";

export function serverDetails(app: Hono<AppEnv>): void {
  resource(app, "/servers/:id/metadata", {
    GET: async (c) => c.json({ metadata: (await shown(c)).metadata }),
    POST: (c) => setMetadata(c, "merge"),
    PUT: (c) => setMetadata(c, "replace"),
  });
  resource(app, "/servers/:id/metadata/:key", { GET: showItem, PUT: setItem, DELETE: removeItem });
  resource(app, "/servers/:id/tags", {
    GET: async (c) => c.json({ tags: (await tagged(c)).tags }),
    PUT: async (c) => {
      atTags(c, `${TAGS}:update_all`);
      const body = await jsonBody(c, z.strictObject({ tags }));
      return c.json({ tags: (await change(c, { of: "tags", do: "replace", tags: body.tags })).record.tags });
    },
    DELETE: async (c) => {
      atTags(c, `${TAGS}:delete_all`);
      await change(c, { of: "tags", do: "replace", tags: [] });
      return c.body(null, 204);
    },
  });
  resource(app, "/servers/:id/tags/:tag", { GET: showTag, PUT: addTag, DELETE: removeTag });
}

/** The fault for a change that was refused. */
export function detailsFault(id: string, error: ActionError | DetailsError): Fault {
  switch (error.kind) {
    case "no_such_key":
      return notFound("Metadata item was not found");
    case "too_many_items":
      return forbidden(quotaMessage(error));
    case "too_many_tags":
      return badRequest(`The number of tags exceeded the per-server limit ${error.limit}`);
    default:
      return actionFault(id, error);
  }
}

async function shown(c: Context<AppEnv>): Promise<ServerRecord> {
  const { id, stub } = serverOf(c);
  const record = await stub.show(c.var.actor);
  if (record === null) throw instanceNotFound(id);
  return record;
}

async function change(c: Context<AppEnv>, wanted: DetailsChange) {
  const { id, stub } = serverOf(c);
  const changed = await stub.change(c.var.actor, wanted);
  if (!changed.ok) throw detailsFault(id, changed.error);
  return changed.value;
}

async function setMetadata(c: Context<AppEnv>, how: "merge" | "replace"): Promise<Response> {
  requireMember(c, `${METADATA}:${how === "merge" ? "create" : "update_all"}`);
  const { metadata } = await jsonBody(c, z.strictObject({ metadata: items }));
  const { record } = await change(c, { of: "metadata", do: how, items: metadata });
  return c.json({ metadata: record.metadata });
}

const keyOf = (c: Context<AppEnv>) => c.req.param("key") ?? "";

async function showItem(c: Context<AppEnv>): Promise<Response> {
  const { metadata } = await shown(c);
  const key = keyOf(c);
  if (!Object.hasOwn(metadata, key)) throw notFound("Metadata item was not found");
  return c.json({ meta: { [key]: metadata[key] } });
}

async function setItem(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, `${METADATA}:update`);
  const { meta } = await jsonBody(c, z.strictObject({ meta: items }));
  const keys = Object.keys(meta);
  if (keys.length !== 1) throw badRequest("Request body contains too many items");
  if (keys[0] !== keyOf(c)) throw badRequest("Request body and URI mismatch");
  await change(c, { of: "metadata", do: "merge", items: meta });
  return c.json({ meta });
}

async function removeItem(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, `${METADATA}:delete`);
  await change(c, { of: "metadata", do: "delete", key: keyOf(c) });
  return c.body(null, 204);
}

function atTags(c: Context<AppEnv>, rule?: string): void {
  if (c.var.minor < TAGS_MINOR) throw notFound("The resource could not be found.");
  if (rule !== undefined) requireMember(c, rule);
}

function tagged(c: Context<AppEnv>): Promise<ServerRecord> {
  atTags(c);
  return shown(c);
}

/** The tag in the path; 400 when it can be none. */
const tagOf = (c: Context<AppEnv>) => parse(z.object({ tag: tagName }), { tag: c.req.param("tag") ?? "" }).tag;

const noSuchTag = (c: Context<AppEnv>) =>
  notFound(`Instance ${c.req.param("id")} has no tag '${(c.req.param("tag") ?? "").slice(0, 60)}'`);

async function showTag(c: Context<AppEnv>): Promise<Response> {
  if (!(await tagged(c)).tags.includes(c.req.param("tag") ?? "")) throw noSuchTag(c);
  return c.body(null, 204);
}

async function addTag(c: Context<AppEnv>): Promise<Response> {
  atTags(c, `${TAGS}:update`);
  const tag = tagOf(c);
  const { isNew } = await change(c, { of: "tags", do: "add", tag });
  if (!isNew) return c.body(null, 204);
  const href = `${computeBase(c).self}/servers/${c.req.param("id")}/tags/${encodeURIComponent(tag)}`;
  return c.body(null, 201, { Location: href });
}

async function removeTag(c: Context<AppEnv>): Promise<Response> {
  atTags(c, `${TAGS}:delete`);
  const { id, stub } = serverOf(c);
  const changed = await stub.change(c.var.actor, { of: "tags", do: "delete", tag: tagOf(c) });
  if (changed.ok) return c.body(null, 204);
  throw changed.error.kind === "no_such_key" ? noSuchTag(c) : detailsFault(id, changed.error);
}
