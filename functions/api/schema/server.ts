/** Bodies of servers and their actions, by microversion (nova/api/openstack/compute/schemas/servers.py). */
import { z } from "zod";
import { MAX_USER_DATA_CHARS } from "../../protocol/methods.ts";
import { base64, boolean, description, metadata, name, tags, wholeNumber } from "./fields.ts";

const networks = z.union([
  z.enum(["auto", "none"]),
  z.array(z.object({ uuid: z.string().optional(), port: z.string().nullish() })).max(1000),
]);

const blockDevice = z.strictObject({
  uuid: z.string().optional(),
  source_type: z.enum(["volume", "image", "snapshot", "blank"]),
  destination_type: z.enum(["local", "volume"]).optional(),
  boot_index: z.union([z.int(), z.string(), z.null()]).optional(),
  delete_on_termination: boolean.optional(),
  volume_size: wholeNumber(1).optional(),
  device_name: z.string().max(255).optional(),
  tag: z.string().max(60).optional(),
});

/** Empty: none. */
const accessIPv4 = z.union([z.literal(""), z.ipv4()]);
const accessIPv6 = z.union([z.literal(""), z.ipv6()]);

/** `since`, `until`: the first and the last microversion 2.x that knows the property. */
type Property = { schema: z.ZodType; since?: number; until?: number; required?: (minor: number) => boolean };

const CREATE = {
  name: { schema: name, required: () => true },
  flavorRef: {
    schema: z.union([z.string().min(1).max(255), z.int().min(0).transform(String)]),
    required: () => true,
  },
  imageRef: { schema: z.union([z.literal(""), z.uuid()]) },
  metadata: { schema: metadata },
  networks: { schema: networks, required: (minor) => minor >= 37 },
  availability_zone: { schema: name },
  "OS-DCF:diskConfig": { schema: z.enum(["AUTO", "MANUAL"]) },
  min_count: { schema: wholeNumber(1) },
  max_count: { schema: wholeNumber(1) },
  return_reservation_id: { schema: boolean },
  key_name: { schema: name.nullable() },
  config_drive: { schema: boolean.nullable() },
  adminPass: { schema: z.string() },
  user_data: { schema: base64(MAX_USER_DATA_CHARS).nullable() },
  personality: { schema: z.array(z.strictObject({ path: z.string(), contents: base64() })), until: 56 },
  security_groups: { schema: z.array(z.object({ name: z.string().max(255) })).max(100) },
  accessIPv4: { schema: accessIPv4 },
  accessIPv6: { schema: accessIPv6 },
  block_device_mapping: { schema: z.array(z.unknown()).max(100) },
  block_device_mapping_v2: { schema: z.array(blockDevice).max(100) },
  description: { schema: description, since: 19 },
  tags: { schema: tags, since: 52 },
} as const satisfies Record<string, Property>;

type Created = { [K in keyof typeof CREATE]?: z.infer<(typeof CREATE)[K]["schema"]> } & {
  name: string;
  flavorRef: string;
};
type Hints = Record<string, unknown>;
export type CreateBody = {
  server: Created;
  "os:scheduler_hints"?: Hints;
  "OS-SCH-HNT:scheduler_hints"?: Hints;
};

const hints = z.record(z.string().max(255), z.unknown());
const byMinor = new Map<number, z.ZodType<CreateBody>>();

/** The body of POST /servers at 2.<minor>. */
export function createServer(minor: number): z.ZodType<CreateBody> {
  const known = byMinor.get(minor);
  if (known) return known;
  const shape: Record<string, z.ZodType> = {};
  for (const [key, property] of Object.entries<Property>(CREATE)) {
    if (minor < (property.since ?? 1) || minor > (property.until ?? Number.POSITIVE_INFINITY)) continue;
    shape[key] = property.required?.(minor) ? property.schema : property.schema.optional();
  }
  const schema = z.strictObject({
    server: z.strictObject(shape),
    "os:scheduler_hints": hints.optional(),
    "OS-SCH-HNT:scheduler_hints": hints.optional(),
  }) as unknown as z.ZodType<CreateBody>;
  byMinor.set(minor, schema);
  return schema;
}

/** The body of PUT /servers/{id}. */
export function updateServer(minor: number) {
  return z.strictObject({
    server: z.strictObject({
      name: name.optional(),
      "OS-DCF:diskConfig": z.enum(["AUTO", "MANUAL"]).optional(),
      description: minor >= 19 ? description.optional() : z.undefined().optional(),
      accessIPv4: accessIPv4.optional(),
      accessIPv6: accessIPv6.optional(),
    }),
  });
}

export const reboot = z.strictObject({
  type: z.enum(["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]).transform((type) => type.toUpperCase()),
});

export const getVncConsole = z.strictObject({ type: z.enum(["novnc", "xvpvnc"]) });

/** The body of POST /servers/{id}/remote-consoles: 2.6, with mks from 2.8. */
export function remoteConsole(minor: number) {
  const mks = minor >= 8;
  const protocols = ["vnc", "spice", "serial", "rdp", ...(mks ? ["mks"] : [])];
  const types = ["novnc", "xvpvnc", "spice-html5", "serial", "rdp-html5", ...(mks ? ["webmks"] : [])];
  return z.strictObject({ remote_console: z.strictObject({ protocol: z.enum(protocols), type: z.enum(types) }) });
}
