/** /images/{id}/metadata, up to 2.38 (nova/api/openstack/compute/image_metadata.py): an image's properties, as Nova named them. */
import type { Context } from "hono";
import { tooManyItems } from "../conductor/details.ts";
import type { Image, ImagePatch } from "../image/image.ts";
import { changed, imageOf, ownImage } from "../image/routes.ts";
import { quotaMessage } from "../project/quota.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, forbidden, notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { imageMeta, imageMetadata } from "./schema/image-proxy.ts";

const RULE = "os_compute_api:image-metadata";

export const imageMetadataProxy: Paths = {
  "/images/:id/metadata": {
    GET: operation({
      summary: "List an image's metadata",
      rule: `${RULE}:index`,
      role: "reader",
      on: "image.metadata-proxy",
      status: 200,
      answers: "metadata",
      run: async (c) => c.json({ metadata: (await imageOf(c)).properties }),
    }),
    POST: operation({
      summary: "Add to an image's metadata",
      rule: `${RULE}:create`,
      role: "member",
      on: "image.metadata-proxy",
      body: imageMetadata,
      status: 200,
      answers: "metadata",
      run: async (c, { body }) => c.json({ metadata: await become(c, (old) => ({ ...old, ...body.metadata })) }),
    }),
    PUT: operation({
      summary: "Replace an image's metadata",
      rule: `${RULE}:update_all`,
      role: "member",
      on: "image.metadata-proxy",
      body: imageMetadata,
      status: 200,
      answers: "metadata",
      run: async (c, { body }) => c.json({ metadata: await become(c, () => body.metadata) }),
    }),
  },
  "/images/:id/metadata/:key": {
    GET: operation({
      summary: "Show one item of an image's metadata",
      rule: `${RULE}:show`,
      role: "reader",
      on: "image.metadata-proxy",
      status: 200,
      answers: "meta",
      async run(c) {
        const value = item((await imageOf(c)).properties, keyOf(c));
        return c.json({ meta: { [keyOf(c)]: value } });
      },
    }),
    PUT: operation({
      summary: "Set one item of an image's metadata",
      rule: `${RULE}:update`,
      role: "member",
      on: "image.metadata-proxy",
      body: imageMeta,
      status: 200,
      answers: "meta",
      async run(c, { body }) {
        if (!Object.hasOwn(body.meta, keyOf(c))) throw badRequest("Request body and URI mismatch");
        await become(c, (old) => ({ ...old, ...body.meta }));
        return c.json(body);
      },
    }),
    DELETE: operation({
      summary: "Remove one item of an image's metadata",
      rule: `${RULE}:delete`,
      role: "member",
      on: "image.metadata-proxy",
      status: 204,
      async run(c) {
        await become(c, (old) => {
          item(old, keyOf(c));
          return Object.fromEntries(Object.entries(old).filter(([key]) => key !== keyOf(c)));
        });
        return c.body(null, 204);
      },
    }),
  },
};

type Metadata = Image["properties"];

const keyOf = (c: Context<AppEnv>) => c.req.param("key") ?? "";

function item(metadata: Metadata, key: string): string | undefined {
  if (!Object.hasOwn(metadata, key)) throw notFound("Metadata item was not found");
  return metadata[key];
}

/** Changes the metadata of the image in the path, within the caller's quota; returns what it is then. */
async function become(c: Context<AppEnv>, to: (old: Metadata) => Metadata): Promise<Metadata> {
  const image = await ownImage(c, `${RULE}:update`);
  const wanted = to(image.properties);
  const { user_id, project_id } = c.var.actor;
  const { metadata_items } = await c.env.PROJECT.getByName(project_id).limits(user_id);
  const tooMany = tooManyItems(wanted, metadata_items);
  if (tooMany !== null) throw forbidden(quotaMessage(tooMany));
  return (await changed(c, image.id, patchOf(image, wanted))).properties;
}

function patchOf(image: Image, wanted: Metadata): ImagePatch {
  const gone = Object.keys(image.properties).filter((key) => !Object.hasOwn(wanted, key));
  const set = Object.entries(wanted).filter(([key, value]) => image.properties[key] !== value);
  for (const [key] of set) {
    // What is an attribute of the image itself is not to be reached from here.
    if (Object.hasOwn(image, key)) throw badRequest(`Invalid metadata: ${key} is an attribute of the image.`);
  }
  return [
    ...gone.map((key) => ({ op: "remove" as const, path: `/${key}` })),
    ...set.map(([key, value]) => ({ op: "add" as const, path: `/${key}`, value })),
  ];
}
