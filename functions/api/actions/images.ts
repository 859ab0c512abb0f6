/** Images made of servers (nova/api/openstack/compute/servers.py _action_create_image, create_backup.py). */
import type { Context } from "hono";
import { z } from "zod";
import type { SnapshotMemo } from "../../conductor/context.ts";
import { tooManyItems } from "../../conductor/details.ts";
import { snapshotImage } from "../../image/snapshot-image.ts";
import type { AppEnv } from "../app-env.ts";
import { badRequest, forbidden } from "../fault.ts";
import { has } from "../history.ts";
import { originOf } from "../resource.ts";
import { metadata, name, wholeNumber } from "../schema/fields.ts";
import { serverRecord } from "../servers.ts";
import { action, begin, type ServerActions } from "./action.ts";

const createImage = z.strictObject({ name, metadata: metadata.optional() });

const createBackup = z.strictObject({
  name,
  /** "daily" and "weekly" by convention. */
  backup_type: z.string().max(255),
  /** How many backups of the type are kept. */
  rotation: wholeNumber(0),
  metadata: metadata.optional(),
});

export const images: ServerActions = {
  createImage: action({
    summary: "Make an image of a server's disk",
    rule: "os_compute_api:servers:create_image",
    role: "member",
    value: createImage,
    status: 202,
    async run(c, asked) {
      const image = await queue(c, asked);
      await make(c, "create_image", { image });
      return made(c, image);
    },
  }),
  createBackup: action({
    summary: "Make an image of a server's disk, and delete the oldest of its kind",
    rule: "os_compute_api:os-create-backup",
    role: "member",
    value: createBackup,
    status: 202,
    async run(c, { rotation, ...asked }) {
      const backup = { backup_type: asked.backup_type, rotation };
      // Nova makes the image and deletes it with the rest; none is made here.
      const image = rotation === 0 ? null : await queue(c, asked);
      await make(c, "create_backup", { image, backup });
      return image === null ? c.body(null, 202) : made(c, image);
    },
  }),
};

type Asked = { name: string; metadata?: Record<string, string> | undefined; backup_type?: string };

/** Adds the image's record, and returns its id. */
async function queue(c: Context<AppEnv>, { name, metadata = {}, backup_type }: Asked): Promise<string> {
  const { user_id, project_id } = c.var.actor;
  if (has(c.var.minor, "image.metadata-quota")) {
    const { metadata_items } = await c.env.PROJECT.getByName(project_id).limits(user_id);
    if (tooManyItems(metadata, metadata_items) !== null) throw forbidden("Image metadata limit exceeded");
  }
  const server = await serverRecord(c);
  const all = c.env.IMAGES.getByName("default");
  const base = await all.get(server.image.id);
  const request = { name, metadata, user_id, project_id, ...(backup_type === undefined ? {} : { backup_type }) };
  const image = snapshotImage(server, base, request);
  if (image.ok) {
    await all.add(image.value);
    return image.value.id;
  }
  if (image.error.kind === "no_property") {
    throw badRequest(`Invalid image metadata: ${image.error.key.slice(0, 64)} is no name for a property of an image.`);
  }
  throw forbidden(`An image has at most ${image.error.limit} properties.`);
}

/** Begins to fill the queued image; one that nobody is going to fill goes again. */
async function make(c: Context<AppEnv>, name: "create_image" | "create_backup", snapshot: SnapshotMemo): Promise<void> {
  try {
    await begin(c, name, { memo: { snapshot } });
  } catch (error) {
    if (snapshot.image !== null) await c.env.IMAGES.getByName("default").remove(snapshot.image);
    throw error;
  }
}

function made(c: Context<AppEnv>, image: string): Response {
  if (has(c.var.minor, "image.id-in-body")) return c.json({ image_id: image }, 202);
  return c.body(null, 202, { Location: `${originOf(c)}/image/v2/images/${image}` });
}
