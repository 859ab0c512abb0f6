/** An image's record, what may be changed of it, and how it is shown (glance: v2 image schema). Pure. */
import { z } from "zod";
import { name } from "../api/schema/fields.ts";
import { seconds } from "../api/timestamp.ts";
import type { Actor } from "../identity/actor.ts";
import { err, ok, type Result } from "../result.ts";

const DISK_FORMATS = ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "ploop", "iso"] as const;
const CONTAINER_FORMATS = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"] as const;
export const VISIBILITIES = ["public", "private", "shared", "community"] as const;
/** glance: image_property_quota, image_tag_quota. */
export const MAX_PROPERTIES = 128;
const MAX_TAGS = 128;

const text = z.string().max(255);

/** What a caller may set, by its name in the API. */
const SETTABLE = {
  name: name.nullable(),
  visibility: z.enum(VISIBILITIES),
  container_format: z.enum(CONTAINER_FORMATS).nullable(),
  disk_format: z.enum(DISK_FORMATS).nullable(),
  min_ram: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  min_disk: z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  protected: z.boolean(),
  os_hidden: z.boolean(),
  tags: z
    .array(text)
    .max(MAX_TAGS)
    .transform((tags) => [...new Set(tags)].sort()),
} as const;
export type Settable = { [K in keyof typeof SETTABLE]: z.infer<(typeof SETTABLE)[K]> };

/** `size` in bytes, `min_ram` in MiB, `min_disk` in GiB; size, hashes and bytes are null until it is uploaded. */
export type Image = Settable & {
  id: string;
  /** The bytes of a deactivated one are kept, and only an admin's. */
  status: "queued" | "active" | "deactivated";
  owner: string;
  size: number | null;
  checksum: string | null;
  /** sha512, in hex. */
  os_hash_value: string | null;
  /** The key of its bytes in R2. */
  bytes: string | null;
  created_at: string;
  updated_at: string;
  /** Whatever else its owner says of it (hw_machine_type and the like). */
  properties: Record<string, string>;
};

/** Names that are the API's own, and never a property. */
const READ_ONLY = [
  ...["id", "status", "owner", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"],
  ...["created_at", "updated_at", "self", "file", "schema", "locations", "direct_url"],
];
/** What is fixed once there are bytes to which it applies. */
const FIXED_WHEN_ACTIVE = ["container_format", "disk_format"];

const propertyName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^(?!__proto__$)[^/~]+$/);

/** Whether `key` may name a property: not what the API itself calls something. */
export function isProperty(key: string): boolean {
  return !Object.hasOwn(SETTABLE, key) && !READ_ONLY.includes(key) && propertyName.safeParse(key).success;
}

/** The body of POST /v2/images: what may be set, an id, and any property. */
export const newImage = z
  .object({ id: z.uuid().optional(), ...z.object(SETTABLE).partial().shape })
  .catchall(text)
  .transform((body, context) => {
    const { id, ...rest } = body;
    const properties: Record<string, string> = {};
    const set: Partial<Settable> = {};
    for (const [key, value] of Object.entries(rest)) {
      if (Object.hasOwn(SETTABLE, key)) Object.assign(set, value === undefined ? {} : { [key]: value });
      else if (READ_ONLY.includes(key)) context.addIssue({ code: "custom", path: [key], message: "It is read-only." });
      else if (propertyName.safeParse(key).success) properties[key] = value as string;
      else context.addIssue({ code: "custom", path: [key], message: "It is no name for a property." });
    }
    if (Object.keys(properties).length > MAX_PROPERTIES) {
      context.addIssue({ code: "custom", message: `An image has at most ${MAX_PROPERTIES} properties.` });
    }
    return { id, set, properties };
  });
export type NewImage = z.infer<typeof newImage>;

/** A record for `given`, with Glance's defaults; it waits for its bytes. */
export function queuedImage({ id, set, properties }: NewImage, owner: string): Image {
  const now = new Date().toISOString();
  return {
    id: id ?? crypto.randomUUID(),
    name: null,
    visibility: "shared",
    container_format: null,
    disk_format: null,
    min_ram: 0,
    min_disk: 0,
    protected: false,
    os_hidden: false,
    tags: [],
    ...set,
    status: "queued",
    owner,
    size: null,
    checksum: null,
    os_hash_value: null,
    bytes: null,
    created_at: now,
    updated_at: now,
    properties,
  };
}

/** The body of PATCH: RFC 6902's add, replace and remove, of paths of one part (glance: _get_change_operation_d10). */
export const imagePatch = z
  .array(
    z.strictObject({
      op: z.enum(["add", "replace", "remove"]),
      path: z
        .string()
        .max(260)
        .regex(/^\/[^/]+$/, "A path names one attribute: /name."),
      value: z.unknown().optional(),
    }),
  )
  .max(256);
export type ImagePatch = z.infer<typeof imagePatch>;

export type PatchError = { kind: "read_only" | "not_there" | "malformed" | "too_many"; message: string };

/** The image with every change of `patch`, or with none of them. */
export function patched(image: Image, patch: ImagePatch): Result<Image, PatchError> {
  let now: Image = { ...image, properties: { ...image.properties } };
  for (const { op, path, value } of patch) {
    const key = path.slice(1).replaceAll("~1", "/").replaceAll("~0", "~");
    const change = Object.hasOwn(SETTABLE, key)
      ? settable(now, op, key as keyof Settable, value)
      : property(now, op, key, value);
    if (!change.ok) return change;
    now = { ...now, ...change.value };
  }
  return ok({ ...now, updated_at: new Date().toISOString() });
}

type Op = ImagePatch[number]["op"];

function settable(image: Image, op: Op, key: keyof Settable, value: unknown): Result<Partial<Image>, PatchError> {
  if (op === "remove") return err({ kind: "read_only", message: `Property '${key}' may not be removed.` });
  if (image.status !== "queued" && FIXED_WHEN_ACTIVE.includes(key)) {
    return err({ kind: "read_only", message: `Attribute ${key} can be only replaced for a queued image.` });
  }
  const parsed = SETTABLE[key].safeParse(value);
  if (!parsed.success) {
    return err({ kind: "malformed", message: `Invalid value for ${key}: ${parsed.error.issues[0]?.message}` });
  }
  return ok({ [key]: parsed.data });
}

function property(image: Image, op: Op, key: string, value: unknown): Result<Partial<Image>, PatchError> {
  if (READ_ONLY.includes(key)) return err({ kind: "read_only", message: `Attribute '${key}' is read-only.` });
  const has = Object.hasOwn(image.properties, key);
  if (op !== "add" && !has) return err({ kind: "not_there", message: `Property ${key} does not exist.` });
  const { [key]: _, ...others } = image.properties;
  if (op === "remove") return ok({ properties: others });
  const [named, worded] = [propertyName.safeParse(key), text.safeParse(value)];
  if (!named.success || !worded.success) {
    return err({
      kind: "malformed",
      message: `Invalid property ${key.slice(0, 64)}: names and values are short texts.`,
    });
  }
  if (!has && Object.keys(others).length >= MAX_PROPERTIES) {
    return err({ kind: "too_many", message: `An image has at most ${MAX_PROPERTIES} properties.` });
  }
  return ok({ properties: { ...others, [key]: worded.data } });
}

/** Whether the image is there for `actor`: to be looked at, downloaded and booted. */
export function visibleTo({ project_id, is_admin }: Actor, { visibility, owner }: Image): boolean {
  return visibility === "public" || visibility === "community" || owner === project_id || is_admin;
}

/** The image as the API shows it. */
export function imageView({ bytes: _, properties, ...image }: Image): object {
  return {
    ...properties,
    ...image,
    os_hash_algo: image.os_hash_value === null ? null : "sha512",
    created_at: seconds(image.created_at),
    updated_at: seconds(image.updated_at),
    virtual_size: null,
    self: `/v2/images/${image.id}`,
    file: `/v2/images/${image.id}/file`,
    schema: "/v2/schemas/image",
  };
}

/** The JSON schema at /v2/schemas/image, which older clients build their models from. */
export function imageSchema(): object {
  const settableSchema = z.toJSONSchema(z.object(SETTABLE), { io: "input" });
  const readOnly = Object.fromEntries(
    READ_ONLY.map((key) => [
      key,
      { readOnly: true, type: key.includes("size") ? ["integer", "null"] : ["string", "null"] },
    ]),
  );
  return {
    name: "image",
    properties: { ...readOnly, ...settableSchema.properties },
    additionalProperties: { type: "string" },
    links: [
      { rel: "self", href: "{self}" },
      { rel: "enclosure", href: "{file}" },
      { rel: "describedby", href: "{schema}" },
    ],
  };
}
