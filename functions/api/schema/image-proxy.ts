/** Queries and bodies of /images (nova/api/openstack/compute/schemas/image_metadata.py); its lists have none in Nova. */
import { z } from "zod";
import { metadata } from "./fields.ts";
import { last, whole } from "./list.ts";

/** Other parameters are ignored. */
export const listImages = z.object({
  limit: whole.optional(),
  marker: last.optional(),
  name: last.optional(),
  status: last.optional(),
  server: last.optional(),
  type: last.optional(),
  minRam: whole.optional(),
  minDisk: whole.optional(),
  "changes-since": last
    .refine((text) => !Number.isNaN(Date.parse(text)), "It is not a time in ISO 8601.")
    .transform((text) => new Date(text).toISOString())
    .optional(),
});

export const imageMetadata = z.strictObject({ metadata });

export const imageMeta = z.strictObject({
  meta: metadata
    .refine((meta) => Object.keys(meta).length === 1, "It has to have one item.")
    .meta({ minProperties: 1, maxProperties: 1 }),
});
