/** /servers/{id}/metadata and /tags (nova/api/openstack/compute/server_metadata.py, server_tags.py). */
import type { Context } from "hono";
import { z } from "zod";
import type { DetailsChange, DetailsError } from "../conductor/details.ts";
import type { ActionError } from "../conductor/order.ts";
import { quotaMessage } from "../project/quota.ts";
import { actionFault } from "./action-fault.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, type Fault, forbidden, notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { computeBase } from "./resource.ts";
import { metadata as items, tag as tagName, tags } from "./schema/fields.ts";
import { serverOf, serverRecord } from "./servers.ts";
import { parse } from "./validate.ts";

const METADATA = "os_compute_api:server-metadata";
const TAGS = "os_compute_api:os-server-tags";

const metadataBody = z.strictObject({ metadata: items });
const itemBody = z.strictObject({ meta: items });
const tagsBody = z.strictObject({ tags });

export const serverDetails: Paths = {
  "/servers/:id/metadata": {
    GET: operation({
      summary: "Show a server's metadata",
      rule: `${METADATA}:index`,
      role: "reader",
      status: 200,
      answers: "metadata",
      run: async (c) => c.json({ metadata: (await serverRecord(c)).metadata }),
    }),
    POST: operation({
      summary: "Add to a server's metadata",
      rule: `${METADATA}:create`,
      role: "member",
      body: metadataBody,
      status: 200,
      answers: "metadata",
      run: (c, { body }) => setMetadata(c, "merge", body.metadata),
    }),
    PUT: operation({
      summary: "Replace a server's metadata",
      rule: `${METADATA}:update_all`,
      role: "member",
      body: metadataBody,
      status: 200,
      answers: "metadata",
      run: (c, { body }) => setMetadata(c, "replace", body.metadata),
    }),
  },
  "/servers/:id/metadata/:key": {
    GET: operation({
      summary: "Show one item of a server's metadata",
      rule: `${METADATA}:show`,
      role: "reader",
      status: 200,
      answers: "meta",
      run: showItem,
    }),
    PUT: operation({
      summary: "Set one item of a server's metadata",
      rule: `${METADATA}:update`,
      role: "member",
      body: itemBody,
      status: 200,
      answers: "meta",
      run: (c, { body }) => setItem(c, body.meta),
    }),
    DELETE: operation({
      summary: "Remove one item of a server's metadata",
      rule: `${METADATA}:delete`,
      role: "member",
      status: 204,
      run: removeItem,
    }),
  },
  "/servers/:id/tags": {
    GET: operation({
      summary: "Show a server's tags",
      rule: `${TAGS}:index`,
      role: "reader",
      on: "server.tags",
      status: 200,
      answers: "tags",
      run: async (c) => c.json({ tags: (await serverRecord(c)).tags }),
    }),
    PUT: operation({
      summary: "Replace a server's tags",
      rule: `${TAGS}:update_all`,
      role: "member",
      on: "server.tags",
      body: tagsBody,
      status: 200,
      answers: "tags",
      run: async (c, { body }) => {
        return c.json({ tags: (await change(c, { of: "tags", do: "replace", tags: body.tags })).record.tags });
      },
    }),
    DELETE: operation({
      summary: "Remove all of a server's tags",
      rule: `${TAGS}:delete_all`,
      role: "member",
      on: "server.tags",
      status: 204,
      run: async (c) => {
        await change(c, { of: "tags", do: "replace", tags: [] });
        return c.body(null, 204);
      },
    }),
  },
  "/servers/:id/tags/:tag": {
    GET: operation({
      summary: "Ask whether a server has a tag",
      rule: `${TAGS}:show`,
      role: "reader",
      on: "server.tags",
      status: 204,
      run: showTag,
    }),
    PUT: operation({
      summary: "Give a server a tag",
      rule: `${TAGS}:update`,
      role: "member",
      on: "server.tags",
      status: [201, 204],
      run: addTag,
    }),
    DELETE: operation({
      summary: "Take a tag from a server",
      rule: `${TAGS}:delete`,
      role: "member",
      on: "server.tags",
      status: 204,
      run: removeTag,
    }),
  },
};

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

async function change(c: Context<AppEnv>, wanted: DetailsChange) {
  const { id, stub } = serverOf(c);
  const changed = await stub.change(c.var.actor, wanted);
  if (!changed.ok) throw detailsFault(id, changed.error);
  return changed.value;
}

type Items = Record<string, string>;

async function setMetadata(c: Context<AppEnv>, how: "merge" | "replace", metadata: Items): Promise<Response> {
  const { record } = await change(c, { of: "metadata", do: how, items: metadata });
  return c.json({ metadata: record.metadata });
}

const keyOf = (c: Context<AppEnv>) => c.req.param("key") ?? "";

async function showItem(c: Context<AppEnv>): Promise<Response> {
  const { metadata } = await serverRecord(c);
  const key = keyOf(c);
  if (!Object.hasOwn(metadata, key)) throw notFound("Metadata item was not found");
  return c.json({ meta: { [key]: metadata[key] } });
}

async function setItem(c: Context<AppEnv>, meta: Items): Promise<Response> {
  const keys = Object.keys(meta);
  if (keys.length !== 1) throw badRequest("Request body contains too many items");
  if (keys[0] !== keyOf(c)) throw badRequest("Request body and URI mismatch");
  await change(c, { of: "metadata", do: "merge", items: meta });
  return c.json({ meta });
}

async function removeItem(c: Context<AppEnv>): Promise<Response> {
  await change(c, { of: "metadata", do: "delete", key: keyOf(c) });
  return c.body(null, 204);
}

/** The tag in the path; 400 when it can be none. */
const tagOf = (c: Context<AppEnv>) => parse(z.object({ tag: tagName }), { tag: c.req.param("tag") ?? "" }).tag;

const noSuchTag = (c: Context<AppEnv>) =>
  notFound(`Instance ${c.req.param("id")} has no tag '${(c.req.param("tag") ?? "").slice(0, 60)}'`);

async function showTag(c: Context<AppEnv>): Promise<Response> {
  if (!(await serverRecord(c)).tags.includes(c.req.param("tag") ?? "")) throw noSuchTag(c);
  return c.body(null, 204);
}

async function addTag(c: Context<AppEnv>): Promise<Response> {
  const tag = tagOf(c);
  const { isNew } = await change(c, { of: "tags", do: "add", tag });
  if (!isNew) return c.body(null, 204);
  const href = `${computeBase(c).self}/servers/${c.req.param("id")}/tags/${encodeURIComponent(tag)}`;
  return c.body(null, 201, { Location: href });
}

async function removeTag(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  const changed = await stub.change(c.var.actor, { of: "tags", do: "delete", tag: tagOf(c) });
  if (changed.ok) return c.body(null, 204);
  throw changed.error.kind === "no_such_key" ? noSuchTag(c) : detailsFault(id, changed.error);
}
