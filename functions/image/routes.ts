/** /image/v2: images, as clients of Glance ask for them. */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { badRequest, conflict, Fault, notFound } from "../api/fault.ts";
import { authenticated, requireMember } from "../api/policy.ts";
import { originOf, resource } from "../api/resource.ts";
import { name } from "../api/schema/fields.ts";
import { jsonBody, MAX_BODY_BYTES, query } from "../api/validate.ts";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import type { Image } from "./images.ts";
import { upload } from "./upload.ts";

const newImage = z.strictObject({
  id: z.uuid().optional(),
  name: name.optional(),
  visibility: z.enum(["public", "private"]).default("private"),
  container_format: z.enum(["bare"]).default("bare"),
  disk_format: z.enum(["raw", "qcow2", "iso"]),
  min_ram: z.int().min(0).default(0),
  min_disk: z.int().min(0).default(0),
});

const last = z.array(z.string().max(4096)).transform((values) => values.at(-1) ?? "");
const listed = z.object({
  name: last.optional(),
  id: last.optional(),
  status: last.optional(),
  visibility: last.optional(),
  owner: last.optional(),
  marker: last.optional(),
  limit: last
    .pipe(z.string().regex(/^[0-9]{1,10}$/))
    .transform(Number)
    .optional(),
});

export function imageRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get("/", (c) => c.json({ versions: [version(c)] }, 300));
  app.use("/v2/*", authenticated);
  const limited = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: () => {
      throw new Fault(413, "Request is too large.");
    },
  });
  app.use("/v2/images", limited);
  resource(app, "/v2/images", { GET: list, POST: create });
  resource(app, "/v2/images/:id", { GET: show, DELETE: remove });
  resource(app, "/v2/images/:id/file", { GET: download, PUT: put });
  return app;
}

function version(c: Context): object {
  return { id: "v2.9", status: "CURRENT", links: [{ rel: "self", href: `${originOf(c)}/image/v2/` }] };
}

const images = (c: Context<AppEnv>) => c.env.IMAGES.getByName("default");

/** The image in the path, if the caller may see it. */
async function imageOf(c: Context<AppEnv>): Promise<Image> {
  const id = c.req.param("id") ?? "";
  const image = await images(c).get(id);
  if (image === null || !visible(c, image)) throw notFound(`No image found with ID ${id.slice(0, 64)}`);
  return image;
}

/** The image in the path, if the caller may change it. */
async function ownImage(c: Context<AppEnv>): Promise<Image> {
  const image = await imageOf(c);
  const { actor } = c.var;
  if (!actor.is_admin && image.owner !== actor.project_id)
    throw new Fault(403, "You are not permitted to modify this image.");
  return image;
}

function visible(c: Context<AppEnv>, image: Image): boolean {
  const { actor } = c.var;
  return image.visibility === "public" || image.owner === actor.project_id || actor.is_admin;
}

async function list(c: Context<AppEnv>): Promise<Response> {
  const asked = query(c, listed);
  const ids = asked.id?.startsWith("in:") ? asked.id.slice(3).split(",") : asked.id === undefined ? null : [asked.id];
  const all = (await images(c).list()).filter(
    (image) =>
      visible(c, image) &&
      (ids === null || ids.includes(image.id)) &&
      (["name", "status", "visibility", "owner"] as const).every(
        (key) =>
          asked[key] === undefined || (key === "visibility" && asked[key] === "all") || asked[key] === image[key],
      ),
  );
  let from = 0;
  if (asked.marker !== undefined) {
    from = all.findIndex((image) => image.id === asked.marker) + 1;
    if (from === 0) throw badRequest(`marker [${asked.marker.slice(0, 64)}] not found`);
  }
  const { MAX_LIMIT } = config(c.env);
  const limit = Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT);
  const page = all.slice(from, from + limit);
  const end = from + limit < all.length ? page.at(-1) : undefined;
  const next = end ? { next: `/v2/images?marker=${end.id}&limit=${limit}` } : {};
  return c.json({ images: page.map(view), first: "/v2/images", schema: "/v2/schemas/images", ...next });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  return c.json(view(await imageOf(c)));
}

async function create(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, "add_image");
  const body = await jsonBody(c, newImage);
  if (body.visibility === "public" && !c.var.actor.is_admin) {
    throw new Fault(403, "You are not authorized to complete publicize_image action.");
  }
  const now = new Date().toISOString();
  const image: Image = {
    ...body,
    id: body.id ?? crypto.randomUUID(),
    name: body.name ?? null,
    status: "queued",
    owner: c.var.actor.project_id,
    size: null,
    checksum: null,
    os_hash_value: null,
    bytes: null,
    created_at: now,
    updated_at: now,
  };
  if (!(await images(c).add(image))) throw conflict(`Image ID ${image.id} already exists!`);
  return c.json(view(image), 201, { Location: `${originOf(c)}/image/v2/images/${image.id}` });
}

async function put(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, "upload_image");
  const image = await ownImage(c);
  if (image.status !== "queued")
    throw conflict(`Image status transition from ${image.status} to saving is not allowed`);
  if (c.req.raw.body === null) throw badRequest("The image has no bytes.");
  // Each upload has a key of its own: a second one at the same time, or one that breaks off, spoils nothing.
  const bytes = `images/${image.id}/${crypto.randomUUID()}`;
  let uploaded: Awaited<ReturnType<typeof upload>>;
  try {
    uploaded = await upload(c.env.IMAGE_BYTES, bytes, c.req.raw.body);
  } catch (error) {
    log("image.upload_failed", { image: image.id, cause: causeOf(error) });
    throw badRequest("The upload broke off. The image is still queued: upload it again.");
  }
  if (!(await images(c).activate(image.id, { ...uploaded, bytes }))) {
    await c.env.IMAGE_BYTES.delete(bytes);
    throw conflict("Another upload of this image came first.");
  }
  return c.body(null, 204);
}

async function download(c: Context<AppEnv>): Promise<Response> {
  const image = await imageOf(c);
  if (image.status !== "active") return c.body(null, 204);
  return imageBytes(c.env, image);
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, "delete_image");
  const image = await ownImage(c);
  await images(c).remove(image.id);
  if (image.bytes !== null) await c.env.IMAGE_BYTES.delete(image.bytes);
  return c.body(null, 204);
}

/** An active image's bytes as an answer. */
export async function imageBytes(env: Env, image: Image): Promise<Response> {
  const object = image.bytes === null ? null : await env.IMAGE_BYTES.get(image.bytes);
  if (object === null) throw notFound(`The bytes of image ${image.id} are gone.`);
  const headers = { "content-type": "application/octet-stream", "content-length": String(object.size) };
  return new Response(object.body, { headers });
}

function view({ bytes: _, ...image }: Image): object {
  return {
    ...image,
    os_hash_algo: image.os_hash_value === null ? null : "sha512",
    created_at: `${image.created_at.slice(0, 19)}Z`,
    updated_at: `${image.updated_at.slice(0, 19)}Z`,
    tags: [],
    protected: false,
    os_hidden: false,
    virtual_size: null,
    self: `/v2/images/${image.id}`,
    file: `/v2/images/${image.id}/file`,
    schema: "/v2/schemas/image",
  };
}
