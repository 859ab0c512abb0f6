/** Bodies of aggregates (nova/api/openstack/compute/schemas/aggregates.py). */
import { z } from "zod";
import { name } from "./fields.ts";

/** Images that one request may have every host of an aggregate fetch. */
const MAX_CACHED = 50;

const zone = name.refine((text) => !text.includes(":"), "An availability zone's name has no ':'.");

export const createAggregate = z.strictObject({
  aggregate: z.strictObject({ name, availability_zone: zone.nullish() }),
});

export const updateAggregate = z.strictObject({
  aggregate: z
    .strictObject({ name: name.optional(), availability_zone: zone.nullish() })
    .refine((change) => Object.keys(change).length > 0, "It changes nothing.")
    .meta({ minProperties: 1 }),
});

const host = z.strictObject({ host: z.string().min(1).max(255) });

const items = z.record(
  z.string().regex(/^[a-zA-Z0-9-_:. ]{1,255}$/, "A key has characters that are not allowed."),
  z.string().max(255).nullable(),
);

/** The zone in metadata keeps to the zone's own rules. */
const metadata = items.refine(
  ({ availability_zone }) => availability_zone == null || zone.safeParse(availability_zone).success,
  "An availability zone's name is 1 to 255 characters without ':'.",
);

/** The body of POST /os-aggregates/{id}/images. */
export const cacheImages = z.strictObject({
  cache: z
    .array(z.strictObject({ id: z.uuid() }))
    .min(1)
    .max(MAX_CACHED)
    .refine((images) => new Set(images.map(({ id }) => id)).size === images.length, "Duplicate images in request."),
});

export const AGGREGATE_ACTIONS = {
  add_host: z.strictObject({ add_host: host }),
  remove_host: z.strictObject({ remove_host: host }),
  set_metadata: z.strictObject({ set_metadata: z.strictObject({ metadata }) }),
} as const;
