/** /images, up to 2.35 (nova/api/openstack/compute/images.py, views/images.py): the image service's, as Nova showed them. */
import type { Context } from "hono";
import type { z } from "zod";
import type { Image } from "../image/image.ts";
import { imageOf, remove, visible } from "../image/routes.ts";
import type { AppEnv } from "./app-env.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { links, originOf } from "./resource.ts";
import { listImages } from "./schema/image-proxy.ts";
import { seconds } from "./timestamp.ts";

const RULE = "os_compute_api:images";

export const imageProxy: Paths = {
  "/images": {
    GET: operation({
      summary: "List images by id and name",
      rule: `${RULE}:index`,
      role: "reader",
      on: "image.proxy",
      query: listImages,
      status: 200,
      answers: "images",
      run: (c, { query }) => list(c, query, "images", brief),
    }),
  },
  "/images/detail": {
    GET: operation({
      summary: "List images with details",
      rule: `${RULE}:detail`,
      role: "reader",
      on: "image.proxy",
      query: listImages,
      status: 200,
      answers: "images",
      run: (c, { query }) => list(c, query, "images/detail", view),
    }),
  },
  "/images/:id": {
    GET: operation({
      summary: "Show an image",
      rule: `${RULE}:show`,
      role: "reader",
      on: "image.proxy",
      status: 200,
      answers: "image",
      run: async (c) => c.json({ image: view(c, await imageOf(c)) }),
    }),
    DELETE: operation({
      summary: "Delete an image",
      rule: `${RULE}:delete`,
      role: "member",
      on: "image.proxy",
      status: 204,
      run: remove,
    }),
  },
};

type Asked = z.infer<typeof listImages>;

async function list(c: Context<AppEnv>, asked: Asked, path: string, show: typeof view): Promise<Response> {
  const found = (await c.env.IMAGES.getByName("default").list()).filter(
    (image) => visible(c, image) && image.visibility !== "community" && !image.os_hidden && matches(image, asked),
  );
  const { page, next } = paged(c, { all: found, idOf: ({ id }) => id, path, asked });
  return c.json({ images: page.map((image) => show(c, image)), ...(next ? { images_links: next } : {}) });
}

/** Nova's names of what an image is asked for by; `server` and `type` are properties that snapshots have. */
function matches(image: Image, asked: Asked): boolean {
  const { name, status, server, type, minRam = 0, minDisk = 0, "changes-since": since } = asked;
  return (
    (name === undefined || image.name === name) &&
    (status === undefined || STATUS[image.status] === status.toUpperCase()) &&
    // A server is named by its id or by a link to it.
    (server === undefined || image.properties.instance_uuid === server.split("/").at(-1)) &&
    (type === undefined || image.properties.image_type === type) &&
    image.min_ram >= minRam &&
    image.min_disk >= minDisk &&
    (since === undefined || image.updated_at >= since)
  );
}

const STATUS: Record<Image["status"], string> = { queued: "SAVING", active: "ACTIVE", deactivated: "UNKNOWN" };
/** Percent, as Nova guesses it from the status. */
const PROGRESS: Record<Image["status"], number> = { queued: 25, active: 100, deactivated: 0 };

function brief(c: Context<AppEnv>, { id, name }: Image): object {
  const alternate = {
    rel: "alternate",
    type: "application/vnd.openstack.image",
    href: `${originOf(c)}/image/images/${id}`,
  };
  return { id, name, links: [...links(c, "images", id), alternate] };
}

function view(c: Context<AppEnv>, image: Image): object {
  const { instance_uuid } = image.properties;
  return {
    ...brief(c, image),
    minRam: image.min_ram,
    minDisk: image.min_disk,
    metadata: image.properties,
    created: seconds(image.created_at),
    updated: seconds(image.updated_at),
    status: STATUS[image.status],
    progress: PROGRESS[image.status],
    "OS-EXT-IMG-SIZE:size": image.size ?? 0,
    ...(instance_uuid ? { server: { id: instance_uuid, links: links(c, "servers", instance_uuid) } } : {}),
  };
}
