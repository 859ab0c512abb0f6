/**
 * What the edge may ask of an agent: one entry a method, with the shape of its parameters and of its value.
 * The counterpart of nova/compute/rpcapi.py.
 */
import { z } from "zod";
import { powerState, vncAddress } from "./guest.ts";

const short = z.string().max(255);

/** The image a guest boots from. `sha512` and `size` (bytes) are checked by the agent before a driver sees the file. */
export const imageRef = z.object({
  id: z.uuid(),
  disk_format: z.enum(["raw", "qcow2", "iso"]),
  size: z.int().min(0),
  sha512: z.string().regex(/^[0-9a-f]{128}$/),
});
export type ImageRef = z.infer<typeof imageRef>;

/** Longest user data, as base64 (nova: MAX_USERDATA_SIZE). */
export const MAX_USER_DATA_CHARS = 65_535;
/** A password, or a file's path or content, and files in one guest: as much as the longest request body can bring. */
const injected = z.string().max(114_688);
const MAX_INJECTED_FILES = 5000;

/** A file for the guest; `contents` is base64. */
const injectedFile = z.object({ path: injected, contents: injected });
export type InjectedFile = z.infer<typeof injectedFile>;

/** A key pair's public half. */
const publicKey = z.object({ name: short, type: z.enum(["ssh", "x509"]), data: z.string().max(65_535) });
export type PublicKey = z.infer<typeof publicKey>;

/** What a config drive tells a guest of itself beyond the rest of its spec (nova: api/metadata/base.py). */
const configDrive = z.object({
  hostname: short,
  launch_index: z.int().min(0),
  reservation_id: short,
  availability_zone: short,
  /** The flavor's name. */
  instance_type: short,
  keys: z.array(publicKey).max(16),
  /** Known to the guest only when it is first built; null afterwards. */
  admin_pass: injected.nullable(),
  files: z.array(injectedFile).max(MAX_INJECTED_FILES),
  /** base64, as the API was given it. */
  user_data: z.base64().max(MAX_USER_DATA_CHARS).nullable(),
});
export type ConfigDrive = z.infer<typeof configDrive>;

/** All a driver needs to build a guest. Sizes: memory in MiB, disk in GiB. */
export const guestSpec = z.object({
  display_name: short,
  instance_name: short,
  project_id: short,
  vcpus: z.int().min(1),
  memory_mb: z.int().min(1),
  disk_gb: z.int().min(0),
  image: imageRef,
  metadata: z.record(short, short),
  /** null: the guest gets no config drive. */
  config_drive: configDrive.nullable().default(null),
});
export type GuestSpec = z.infer<typeof guestSpec>;

const none = z.object({});
const powered = z.object({ power_state: powerState });

/**
 * `durable` methods change a guest: the agent journals them by call id, answers a repeated id from its journal,
 * and keeps the outcome until the edge acknowledges it. The others read or open, live, and die with the socket.
 */
export const METHODS = {
  spawn: { durable: true, params: guestSpec, value: powered },
  destroy: { durable: true, params: none, value: none },
  power_on: { durable: true, params: none, value: powered },
  power_off: { durable: true, params: none, value: powered },
  reboot: { durable: true, params: z.object({ type: z.enum(["SOFT", "HARD"]) }), value: powered },
  get_vnc_console: { durable: false, params: none, value: vncAddress },
  /** Connect this server's VNC socket and dial `/agent/v1/console/{console}` with `ticket` as the bearer. */
  open_console: {
    durable: false,
    params: z.object({ console: z.string().regex(/^[0-9a-f]{64}$/), ticket: z.string().max(2048) }),
    value: none,
  },
} as const;
export type Method = keyof typeof METHODS;
export type Params<M extends Method> = z.infer<(typeof METHODS)[M]["params"]>;
export type Value<M extends Method> = z.infer<(typeof METHODS)[M]["value"]>;

/** Why a call failed, by the name of Nova's exception (nova/exception.py) that says the same. */
export const CALL_ERRORS = [
  "InstanceNotFound",
  "InstanceInvalidState",
  "ConsoleNotAvailable",
  "BuildAbortException",
  "ImageUnacceptable",
  "HypervisorUnavailable",
  "InsufficientFreeDisk",
  "StaleGeneration",
  "InvalidCall",
  "NotSupported",
  "Unexpected",
] as const;
export type CallErrorCode = (typeof CALL_ERRORS)[number];
