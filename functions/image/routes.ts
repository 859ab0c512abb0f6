/** /image/v2: images, as clients of Glance ask for them. */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { AppEnv } from "../api/app-env.ts";
import { badRequest, conflict, Fault, forbidden, notFound } from "../api/fault.ts";
import { authenticated, readersOnly, requireMember } from "../api/policy.ts";
import { originOf, resource } from "../api/resource.ts";
import { jsonBody, MAX_BODY_BYTES, query } from "../api/validate.ts";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import { imageBytes } from "./bytes.ts";
import {
  type Image,
  type ImagePatch,
  imagePatch,
  imageSchema,
  imageView,
  newImage,
  type PatchError,
  queuedImage,
  type Settable,
  visibleTo,
} from "./image.ts";
import { inOrder, listImages, matches, sortOf } from "./listing.ts";
import { upload } from "./upload.ts";

/** What Glance calls its JSON patches; the older form is not served. */
const PATCH_TYPE = "application/openstack-images-v2.1-json-patch";

export function imageRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get("/", (c) => c.json({ versions: [version(c)] }, 300));
  app.use("/v2/*", authenticated, readersOnly);
  const limited = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: () => {
      throw new Fault(413, "Request is too large.");
    },
  });
  for (const path of ["/v2/images", "/v2/images/:id"]) app.use(path, limited);
  resource(app, "/v2/images", { GET: list, POST: create });
  resource(app, "/v2/images/:id", {
    GET: async (c) => c.json(imageView(await imageOf(c))),
    PATCH: patch,
    DELETE: remove,
  });
  resource(app, "/v2/images/:id/file", { GET: download, PUT: put });
  for (const action of ["deactivate", "reactivate"] as const) {
    resource(app, `/v2/images/:id/actions/${action}`, { POST: (c) => activation(c, action) });
  }
  resource(app, "/v2/images/:id/tags/:tag", { PUT: (c) => setTag(c, true), DELETE: (c) => setTag(c, false) });
  resource(app, "/v2/schemas/image", { GET: (c) => c.json(imageSchema()) });
  resource(app, "/v2/schemas/images", {
    GET: (c) => c.json({ name: "images", properties: { images: { type: "array", items: imageSchema() } } }),
  });
  return app;
}

function version(c: Context): object {
  return { id: "v2.9", status: "CURRENT", links: [{ rel: "self", href: `${originOf(c)}/image/v2/` }] };
}

const images = (c: Context<AppEnv>) => c.env.IMAGES.getByName("default");

/** The image in the path, if the caller may see it. */
export async function imageOf(c: Context<AppEnv>): Promise<Image> {
  const id = c.req.param("id") ?? "";
  const image = await images(c).get(id);
  if (image === null || !visible(c, image)) throw notFound(`No image found with ID ${id.slice(0, 64)}`);
  return image;
}

/** The image in the path, if the caller may change it. */
export async function ownImage(c: Context<AppEnv>, rule: string): Promise<Image> {
  requireMember(c, rule);
  const image = await imageOf(c);
  const { actor } = c.var;
  if (actor.is_admin || image.owner === actor.project_id) return image;
  throw forbidden("You are not permitted to modify this image.");
}

/** Whether the caller may see the image. */
export const visible = (c: Context<AppEnv>, image: Image): boolean => visibleTo(c.var.actor, image);

async function list(c: Context<AppEnv>): Promise<Response> {
  const asked = query(c, listImages);
  const order = sortOf(asked);
  if (!order.ok) throw badRequest(order.error);
  const found = (await images(c).list()).filter((image) => visible(c, image) && matches(image, asked));
  const all = inOrder(found, order.value);
  const from = asked.marker === undefined ? 0 : all.findIndex((image) => image.id === asked.marker) + 1;
  if (asked.marker !== undefined && from === 0) throw badRequest(`marker [${asked.marker.slice(0, 64)}] not found`);
  const { MAX_LIMIT } = config(c.env);
  const page = all.slice(from, from + Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT));
  const left = from + page.length < all.length ? page.at(-1) : undefined;
  const next = new URL(c.req.url);
  if (left) next.searchParams.set("marker", left.id);
  return c.json({
    images: page.map(imageView),
    first: "/v2/images",
    schema: "/v2/schemas/images",
    ...(left ? { next: `/v2/images${next.search}` } : {}),
  });
}

async function create(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, "add_image");
  const given = await jsonBody(c, newImage);
  mayPublicize(c, given.set);
  const image = queuedImage(given, c.var.actor.project_id);
  if (!(await images(c).add(image))) throw conflict(`Image ID ${image.id} already exists!`);
  return c.json(imageView(image), 201, { Location: `${originOf(c)}/image/v2/images/${image.id}` });
}

function mayPublicize(c: Context<AppEnv>, set: Partial<Settable>): void {
  if (set.visibility !== "public" || c.var.actor.is_admin) return;
  throw forbidden("You are not authorized to complete publicize_image action.");
}

async function patch(c: Context<AppEnv>): Promise<Response> {
  const image = await ownImage(c, "modify_image");
  const changes = await jsonBody(c, imagePatch, PATCH_TYPE);
  for (const { path, value } of changes)
    if (path === "/visibility" && value === "public") mayPublicize(c, { visibility: value });
  return c.json(imageView(await changed(c, image.id, changes)));
}

/** Applies a patch to an image that the caller may change. */
export async function changed(c: Context<AppEnv>, id: string, changes: ImagePatch): Promise<Image> {
  const result = await images(c).patch(id, changes);
  if (result.ok) return result.value;
  throw result.error.kind === "not_found" ? notFound(`No image found with ID ${id}`) : patchFault(result.error);
}

function patchFault({ kind, message }: PatchError): Fault {
  const status = { read_only: 403, not_there: 409, malformed: 400, too_many: 413 } as const;
  return new Fault(status[kind], message);
}

async function setTag(c: Context<AppEnv>, present: boolean): Promise<Response> {
  const image = await ownImage(c, "modify_image");
  const tag = c.req.param("tag") ?? "";
  if (!present && !image.tags.includes(tag)) throw notFound(`Tag ${tag.slice(0, 64)} not found.`);
  const tags = present ? [...image.tags, tag] : image.tags.filter((one) => one !== tag);
  await changed(c, image.id, [{ op: "replace", path: "/tags", value: tags }]);
  return c.body(null, 204);
}

async function put(c: Context<AppEnv>): Promise<Response> {
  const image = await ownImage(c, "upload_image");
  if (image.status !== "queued")
    throw conflict(`Image status transition from ${image.status} to saving is not allowed`);
  if (image.disk_format === null || image.container_format === null) {
    throw badRequest("Properties disk_format, container_format must be set prior to saving data.");
  }
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

/** glance: api/v2/image_actions.py. */
async function activation(c: Context<AppEnv>, action: "deactivate" | "reactivate"): Promise<Response> {
  const { id } = await ownImage(c, action);
  const done = await images(c).setStatus(id, action === "deactivate" ? "deactivated" : "active");
  if (done.ok) return c.body(null, 204);
  if (done.error === "not_found") throw notFound(`No image found with ID ${id}`);
  throw forbidden(`Not allowed to ${action} image in status '${done.error}'`);
}

async function download(c: Context<AppEnv>): Promise<Response> {
  const image = await imageOf(c);
  if (image.status === "deactivated") {
    if (c.var.actor.is_admin) return imageBytes(c.env, image, c.req.header("range"));
    throw forbidden("The requested image has been deactivated. Image data download is forbidden.");
  }
  return image.status === "active" ? imageBytes(c.env, image, c.req.header("range")) : c.body(null, 204);
}

export async function remove(c: Context<AppEnv>): Promise<Response> {
  const { id } = await ownImage(c, "delete_image");
  const removed = await images(c).remove(id);
  if (!removed.ok && removed.error === "protected") {
    throw forbidden(`Image ${id} is protected and cannot be deleted.`);
  }
  if (!removed.ok) throw notFound(`No image found with ID ${id}`);
  return c.body(null, 204);
}
