/**
 * What the edge may ask of an agent: one entry a method, with the shape of its parameters and of its value.
 * The counterpart of nova/compute/rpcapi.py.
 */
import { z } from "zod";
import { MAX_LABEL_CHARS, SHARING } from "./console.ts";
import { powerState, vncAddress } from "./guest.ts";
import { hardware } from "./hardware.ts";
import { liveMigrateData, liveMigrationOptions, movePeer } from "./move.ts";

const short = z.string().max(255);

/**
 * The image a guest boots from. `sha512` and `size` (bytes) are checked by the agent before a driver sees the file.
 * `guest_agent`: what boots from it has QEMU's guest agent (the image's property hw_qemu_guest_agent).
 */
export const imageRef = z.object({
  id: z.uuid(),
  disk_format: z.enum(["raw", "qcow2", "iso"]),
  size: z.int().min(0),
  sha512: z.string().regex(/^[0-9a-f]{128}$/),
  guest_agent: z.boolean().optional(),
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
  /** Told while a guest is built or rescued; null when there is none to tell. */
  admin_pass: injected.nullable(),
  files: z.array(injectedFile).max(MAX_INJECTED_FILES),
  /** base64, as the API was given it. */
  user_data: z.base64().max(MAX_USER_DATA_CHARS).nullable(),
});
export type ConfigDrive = z.infer<typeof configDrive>;

/** The file systems of ephemeral disks (nova/virt/libvirt/driver.py: is_supported_fs_format). */
export const EPHEMERAL_FORMATS = ["ext2", "ext3", "ext4", "xfs"] as const;
/** nova: default_ephemeral_format, which is unset there; then it is ext4 for an image whose os_type is linux. */
export const DEFAULT_EPHEMERAL_FORMAT = "ext4";

/** An empty disk that has a file system on it. `size` in GiB. */
const ephemeral = z.object({ size: z.int().min(1), format: z.enum(EPHEMERAL_FORMATS) });
export type Ephemeral = z.infer<typeof ephemeral>;
const MAX_EPHEMERALS = 16;

/** All a driver needs to build a guest. Sizes: memory and swap in MiB, disk in GiB. */
export const guestSpec = z.object({
  display_name: short,
  instance_name: short,
  project_id: short,
  vcpus: z.int().min(1),
  memory_mb: z.int().min(1),
  disk_gb: z.int().min(0),
  /** Disks after the guest's own, in this order, and the swap disk behind them; 0 is none. */
  ephemerals: z.array(ephemeral).max(MAX_EPHEMERALS).default([]),
  swap_mb: z.int().min(0).default(0),
  image: imageRef,
  hardware: hardware.optional(),
  metadata: z.record(short, short),
  /** null: the guest gets no config drive. */
  config_drive: configDrive.nullable().default(null),
});
export type GuestSpec = z.infer<typeof guestSpec>;

/** A snapshot as it lies on its host: a standalone disk, with the size (bytes) and the hash of the file. */
export const snapshotFile = imageRef.pick({ disk_format: true, sha512: true }).extend({ size: z.int().min(1) });
export type SnapshotFile = z.infer<typeof snapshotFile>;

const none = z.object({});
const powered = z.object({ power_state: powerState });
const moved = z.object({ bytes: z.int().min(0) });
/** A count that a hypervisor may be unable to tell. */
const count = z.number().min(0).nullable();

/** Most that is read of a guest's serial console (nova: MAX_CONSOLE_BYTES), and so its longest text. */
export const MAX_CONSOLE_BYTES = 102_400;

/** `input`: keys, pointer and the size of the screen. `clipboard`: both ways. */
const consoleRights = z.object({ input: z.boolean(), clipboard: z.boolean() });
export type ConsoleRights = z.infer<typeof consoleRights>;

/** The first connection of a session. */
export const FIRST_LEG = 1;

/** One connection of a session: a session that is resumed goes on with the next `leg`. */
export const consoleLeg = z.object({ session: z.uuid(), leg: z.int().min(FIRST_LEG) });

/** `label`: what the others on the screen see. `page`: the viewer understands the text frames of console.ts. */
const consoleSession = consoleLeg.extend({
  label: z.string().max(MAX_LABEL_CHARS),
  owner: z.boolean(),
  page: z.boolean(),
  sharing: z.enum(SHARING),
});
export type ConsoleSession = z.infer<typeof consoleSession>;

const tally = z.int().min(0);
/** What went through a console: bytes from and to the viewer, and events that were let through. */
export const consoleCounts = z.object({
  bytes_up: tally,
  bytes_down: tally,
  keys: tally,
  pointers: tally,
  cut_texts: tally,
});
export type ConsoleCounts = z.infer<typeof consoleCounts>;

/** How long a guest may take to shut down by itself, in seconds. */
export const MAX_SHUTDOWN_SECONDS = 3600;

/**
 * What is known of a running guest (nova/objects/diagnostics.py; the API's body since 2.48). Null is unknown.
 * Memory in MiB, `time` in nanoseconds, `utilisation` in percent, `uptime` in seconds.
 */
export const diagnostics = z.object({
  state: z.enum(["pending", "running", "paused", "shutdown", "crashed", "suspended"]),
  driver: short,
  hypervisor: short.nullable(),
  hypervisor_os: short.nullable(),
  uptime: count,
  config_drive: z.boolean().nullable(),
  num_cpus: count,
  num_nics: count,
  num_disks: count,
  cpu_details: z.array(z.object({ id: count, time: count, utilisation: count })).max(1024),
  nic_details: z
    .array(
      z.object({
        mac_address: short.nullable(),
        rx_octets: count,
        rx_errors: count,
        rx_drop: count,
        rx_packets: count,
        rx_rate: count,
        tx_octets: count,
        tx_errors: count,
        tx_drop: count,
        tx_packets: count,
        tx_rate: count,
      }),
    )
    .max(256),
  disk_details: z
    .array(
      z.object({
        read_bytes: count,
        read_requests: count,
        write_bytes: count,
        write_requests: count,
        errors_count: count,
      }),
    )
    .max(256),
  memory_details: z.object({ maximum: count, used: count }),
});
export type Diagnostics = z.infer<typeof diagnostics>;

/**
 * `durable` methods change a guest: the agent journals them by call id, answers a repeated id from its journal,
 * and keeps the outcome until the edge acknowledges it. The others read or open, live, and die with the socket.
 *
 * spawn, rebuild, rescue, unrescue, resume and power_on begin a new incarnation of the guest, and a new screen: they
 * come with a generation of their own. The others act on the incarnation that is there, and name its generation.
 */
export const METHODS = {
  spawn: { durable: true, params: guestSpec, value: powered },
  destroy: { durable: true, params: none, value: none },
  power_on: { durable: true, params: none, value: powered },
  /**
   * `timeout` (seconds; 0 when absent): how long the guest, asked by ACPI, may take to shut down before it is stopped
   * hard (nova: shutdown_timeout). A destroy, a reboot HARD or a power_off without one ends the wait.
   */
  power_off: {
    durable: true,
    params: z.object({ timeout: z.int().min(0).max(MAX_SHUTDOWN_SECONDS).optional() }),
    value: powered,
  },
  reboot: { durable: true, params: z.object({ type: z.enum(["SOFT", "HARD"]) }), value: powered },
  pause: { durable: true, params: none, value: powered },
  unpause: { durable: true, params: none, value: powered },
  /** Writes the guest's memory to the host's disk and ends its process. */
  suspend: { durable: true, params: none, value: powered },
  resume: { durable: true, params: none, value: powered },
  /**
   * Boots the guest from `image`, its own disk beside it. It is stopped hard: ask for a graceful power_off before.
   * `spec` is the guest, as its config drive is to tell of it while it is rescued; null keeps the drive that it has.
   */
  rescue: {
    durable: true,
    params: z.object({ image: imageRef, spec: guestSpec.nullable().default(null) }),
    value: powered,
  },
  /** Boots the guest from its own disk again. */
  unrescue: { durable: true, params: none, value: powered },
  /** Destroys the guest's disks and makes them anew from `spec`; `start` false leaves it off. Builds what is not there. */
  rebuild: { durable: true, params: z.object({ spec: guestSpec, start: z.boolean() }), value: powered },
  /** Copies the guest's root disk into a file that is to be `image`. The file stays until it is uploaded. */
  snapshot: { durable: true, params: z.object({ image: z.uuid() }), value: snapshotFile },
  /** Brings that file to the edge, which expects it by then; it goes on where an earlier upload was cut off. */
  upload_snapshot: { durable: true, params: z.object({ image: z.uuid() }), value: none },
  /**
   * Cold migration, at the source: as power_off, and puts the guest's disks aside for the migration, until they are given
   * back by finish_revert_migration, or go with confirm_migration or destroy.
   */
  migrate_disk_and_power_off: {
    durable: true,
    params: z.object({ migration: z.uuid(), timeout: z.int().min(0).max(MAX_SHUTDOWN_SECONDS).optional() }),
    value: powered,
  },
  /** Gives those disks to the other end, and keeps them. Resolves when it has all of them. `bytes`: as many as travelled. */
  send_disks: { durable: true, params: z.object({ peer: movePeer }), value: moved },
  /**
   * The same at the destination. What an earlier try brought is looked at, and not brought again if it is right. Disks
   * that are aside where this host has them, as where the peer is itself, are copied; nothing travels then.
   */
  receive_disks: { durable: true, params: z.object({ peer: movePeer, spec: guestSpec }), value: moved },
  /** At the source: the guest as it was before it was put aside, off; whatever was made in its place is ended. */
  finish_revert_migration: { durable: true, params: none, value: powered },
  /** Removes what is aside of a guest in whose place another was made on the same host. */
  confirm_migration: { durable: true, params: none, value: none },
  /**
   * Makes a guest of the disks that were received, as `spec` has it, its disk grown if need be (nova: finish_migration).
   * `from`: of those that the host of this name has left, on storage that this one shares with it.
   */
  finish_migration: {
    durable: true,
    params: z.object({ spec: guestSpec, start: z.boolean(), from: short.optional() }),
    value: powered,
  },
  /** Whether this host sees the guest's files, which the host of that name left (nova: instance_on_disk). */
  instance_on_disk: { durable: false, params: z.object({ host: short }), value: z.object({ on_disk: z.boolean() }) },
  /** What a destination must know of the guest (nova: check_can_live_migrate_source). */
  check_can_live_migrate_source: { durable: false, params: none, value: liveMigrateData },
  /**
   * Whether this host can take the guest; it answers with why not, and has changed nothing. block_migration: whether disks
   * are to be copied, too; null: as the storage of the two hosts is, which the value tells.
   */
  check_can_live_migrate_destination: {
    durable: false,
    params: z.object({ spec: guestSpec, data: liveMigrateData, block_migration: z.boolean().nullable() }),
    value: z.object({ block_migration: z.boolean() }),
  },
  /** Makes ready for the guest at the destination, until it has come or is dismissed. */
  pre_live_migration: {
    durable: true,
    params: z.object({ peer: movePeer, spec: guestSpec, data: liveMigrateData, block_migration: z.boolean() }),
    value: none,
  },
  /**
   * Brings the running guest to the other end, from the source. Resolves when it runs there and is gone from here; after
   * a failure it runs here. `aborted`: by abort_live_migration, or because its time was over.
   */
  live_migration: {
    durable: true,
    params: z.object({ peer: movePeer, options: liveMigrationOptions, block_migration: z.boolean() }),
    value: z.object({ aborted: z.boolean() }),
  },
  /** At the destination, once the guest has come: it is this host's from here on. */
  post_live_migration_at_destination: { durable: true, params: none, value: powered },
  /** Has the live migration under way end, and the guest stay; without one under way InstanceInvalidState. */
  abort_live_migration: { durable: false, params: none, value: none },
  /** Pauses the guest, or lets it go on at the destination where post-copy is allowed, so that its migration can end. */
  force_complete_live_migration: { durable: false, params: none, value: none },
  get_vnc_console: { durable: false, params: none, value: vncAddress },
  /**
   * The last `length` lines that the guest wrote to its serial console, within the last MAX_CONSOLE_BYTES; null and -1
   * are all. As in Nova (compute/manager.py: _tail_log) a final line break begins one more line, which is empty.
   */
  get_console_output: {
    durable: false,
    params: z.object({ length: z.int().min(-1).nullable() }),
    value: z.object({ output: z.string().max(MAX_CONSOLE_BYTES) }),
  },
  /** InstanceInvalidState unless the guest runs. */
  get_diagnostics: { durable: false, params: none, value: diagnostics },
  /** Not durable, so that the password is written nowhere. */
  set_admin_password: { durable: false, params: z.object({ password: z.string().max(4096) }), value: none },
  /** nova: trigger_crash_dump. */
  inject_nmi: { durable: false, params: none, value: none },
  /**
   * Has the host keep an image at hand. `server` is the image's own id: no guest is meant. Answers at once: `cached`
   * false is "the download is under way", and asking again tells when it has ended, or begins one that failed anew.
   */
  cache_image: {
    durable: false,
    params: z.object({ image: imageRef }),
    value: z.object({ cached: z.boolean() }),
  },
  /** What `uptime` prints on the host (nova: get_host_uptime). `server` is the host's own id: no guest is meant. */
  get_host_uptime: { durable: false, params: none, value: z.object({ uptime: short }) },
  /** Connect this server's VNC socket and dial `/agent/v1/console/{console}` with `ticket` as the bearer. */
  open_console: {
    durable: false,
    params: z.object({
      console: z.string().regex(/^[0-9a-f-]{36,64}$/),
      ticket: z.string().max(2048),
      /** What the viewer may do besides watching; all of it unless told. */
      rights: consoleRights.optional(),
      session: consoleSession.optional(),
    }),
    value: none,
  },
  /** Ends these sessions of the server, or all of them, with a code of CONSOLE_CLOSE; those that are not here are none. */
  close_consoles: {
    durable: false,
    params: z.object({ sessions: z.array(z.uuid()).max(1024).optional(), code: z.int().min(4000).max(4999) }),
    value: none,
  },
  /** Changes how the server's screen is shared, from now on. */
  share_console: { durable: false, params: z.object({ sharing: z.enum(SHARING) }), value: none },
  /** The server's sessions that are open now, with what they have moved so far. */
  list_consoles: {
    durable: false,
    params: none,
    value: z.object({ sessions: z.array(consoleLeg.extend(consoleCounts.shape)).max(1024) }),
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
  /** Nova has no such limit. */
  "TooManyConsoles",
  "InstanceAgentNotEnabled",
  "InstancePasswordSetFailed",
  "SetAdminPasswdNotSupported",
  "BuildAbortException",
  "ImageUnacceptable",
  "HypervisorUnavailable",
  "InsufficientFreeDisk",
  "MigrationError",
  /** A guest that was switched to another host has lost it, and its memory with it. */
  "PostCopyFailed",
  "MigrationPreCheckError",
  "StaleGeneration",
  "InvalidCall",
  "NotSupported",
  "Unexpected",
] as const;
export type CallErrorCode = (typeof CALL_ERRORS)[number];
