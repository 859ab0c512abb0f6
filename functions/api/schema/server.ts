/** Bodies of servers and their actions, by microversion (nova/api/openstack/compute/schemas/servers.py). */
import { z } from "zod";
import { MAX_USER_DATA_CHARS } from "../../protocol/methods.ts";
import { base64, boolean, description, fqdn, hostname, metadata, name, tags, wholeNumber } from "./fields.ts";
import { type Property, versioned } from "./versioned.ts";

const network = z.strictObject({
  uuid: z.uuid().optional(),
  port: z.uuid().nullish(),
  fixed_ip: z.union([z.ipv4(), z.ipv6()]).optional(),
  tag: z.string().max(60).optional(),
});

const blockDevice = versioned({
  uuid: { schema: z.string().max(255) },
  source_type: { schema: z.enum(["volume", "image", "snapshot", "blank"]) },
  destination_type: { schema: z.enum(["local", "volume"]) },
  boot_index: { schema: z.union([z.int(), z.string().max(16), z.null()]) },
  delete_on_termination: { schema: boolean },
  volume_size: { schema: wholeNumber(1) },
  device_name: { schema: z.string().regex(/^(\/dev\/)?[a-zA-Z0-9_-]{1,64}$/, "It is no device's name.") },
  device_type: { schema: z.string().max(255).nullable() },
  disk_bus: { schema: z.string().max(255).nullable() },
  guest_format: { schema: z.string().max(255).nullable() },
  no_device: { schema: boolean },
  volume_id: { schema: z.string().max(255) },
  snapshot_id: { schema: z.string().max(255) },
  tag: { schema: z.string().max(60) },
  volume_type: { schema: z.string().max(255).nullable(), on: "server.device-volume-type" },
});

/** 1 to 50 names of certificates that an image's signature may be checked with. */
const certificates = z
  .array(z.string().min(1).max(255))
  .min(1)
  .max(50)
  .refine((all) => new Set(all).size === all.length, "They are not unique.")
  .nullable();

/** The name that the guest is told; it may have a domain from 2.94 on. */
const HOSTNAME = [
  { schema: fqdn, on: "server.fqdn" },
  { schema: hostname, on: "server.hostname" },
] as const satisfies Property[];
/** Empty: none. */
const accessIPv4 = z.union([z.literal(""), z.ipv4()]);
const accessIPv6 = z.union([z.literal(""), z.ipv6()]);

/** The properties of a new server; some are those of a rebuilt one too. */
export const CREATE = {
  name: { schema: name, required: true },
  flavorRef: {
    schema: z.union([z.string().min(1).max(255), z.int().min(0).transform(String)]),
    required: true,
  },
  imageRef: { schema: z.union([z.literal(""), z.uuid()]) },
  metadata: { schema: metadata },
  networks: {
    schema: z.union([z.enum(["auto", "none"]), z.array(network).max(1000)]),
    required: "server.networks-required",
  },
  availability_zone: { schema: name },
  "OS-DCF:diskConfig": { schema: z.enum(["AUTO", "MANUAL"]) },
  min_count: { schema: wholeNumber(1) },
  max_count: { schema: wholeNumber(1) },
  return_reservation_id: { schema: boolean },
  key_name: { schema: name.nullable() },
  config_drive: { schema: boolean.nullable() },
  adminPass: { schema: z.string() },
  user_data: { schema: base64(MAX_USER_DATA_CHARS).nullable() },
  personality: {
    schema: z.array(z.strictObject({ path: z.string(), contents: base64() })),
    on: "server.personality",
  },
  security_groups: { schema: z.array(z.object({ name: z.string().max(255) })).max(100) },
  accessIPv4: { schema: accessIPv4 },
  accessIPv6: { schema: accessIPv6 },
  block_device_mapping: { schema: z.array(z.unknown()).max(100) },
  block_device_mapping_v2: { schema: (minor: number) => z.array(blockDevice(minor)).max(100) },
  description: { schema: description, on: "server.description" },
  tags: { schema: tags, on: "server.tags-on-create" },
  trusted_image_certificates: { schema: certificates, on: "server.trusted-certificates" },
  host: { schema: fqdn, on: "server.destination" },
  hypervisor_hostname: { schema: fqdn, on: "server.destination" },
  hostname: HOSTNAME,
} as const satisfies Record<string, Property | readonly Property[]>;

const hostOrHosts = z.union([z.uuid(), z.array(z.uuid()).max(100)]);

/** All of a server's hints as JSON: they are in its record, and so in lists. */
const MAX_HINTS_CHARS = 8192;

/** What a scheduler may be told; a hint that nobody knows is kept, as Nova keeps it. */
const knownHints = z.looseObject({
  group: z.uuid().optional(),
  same_host: hostOrHosts.optional(),
  different_host: hostOrHosts.optional(),
  query: z.union([z.string().max(4096), z.record(z.string(), z.unknown())]).optional(),
  cidr: z
    .string()
    .regex(/^\/[0-9a-f.:]+$/, "It is no prefix of an address.")
    .optional(),
  build_near_host_ip: z.union([z.ipv4(), z.ipv6()]).optional(),
  target_cell: name.optional(),
  different_cell: z.union([z.string().max(255), z.array(z.string().max(255)).max(100)]).optional(),
});
const hints = knownHints.refine((all) => JSON.stringify(all).length <= MAX_HINTS_CHARS, "They are too long.");
export type SchedulerHints = z.infer<typeof hints>;

const server = versioned(CREATE);

/** The body of POST /servers. */
export function createServer(minor: number) {
  return z.strictObject({
    server: server(minor),
    "os:scheduler_hints": hints.optional(),
    "OS-SCH-HNT:scheduler_hints": hints.optional(),
  });
}
export type CreateBody = z.infer<ReturnType<typeof createServer>>;

const changes = versioned({
  name: { schema: name },
  "OS-DCF:diskConfig": { schema: z.enum(["AUTO", "MANUAL"]) },
  description: { schema: description, on: "server.description" },
  hostname: HOSTNAME,
  accessIPv4: { schema: accessIPv4 },
  accessIPv6: { schema: accessIPv6 },
});

/** The body of PUT /servers/{id}. */
export const updateServer = (minor: number) => z.strictObject({ server: changes(minor) });
export type UpdateBody = z.infer<ReturnType<typeof updateServer>>;

const PROTOCOLS = ["vnc", "spice", "serial", "rdp"] as const;
const TYPES = ["novnc", "xvpvnc", "spice-html5", "serial", "rdp-html5"] as const;
const console = versioned({
  protocol: [
    { schema: z.enum([...PROTOCOLS, "mks"]), on: "console.mks", required: true },
    { schema: z.enum(PROTOCOLS), required: true },
  ],
  type: [
    { schema: z.enum([...TYPES, "webmks"]), on: "console.mks", required: true },
    { schema: z.enum(TYPES), required: true },
  ],
});

/** The body of POST /servers/{id}/remote-consoles. */
export const remoteConsole = (minor: number) => z.strictObject({ remote_console: console(minor) });
