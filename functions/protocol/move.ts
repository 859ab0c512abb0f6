/**
 * Moving a guest between two hosts. Each end is told of the other by the edge, and the two then speak to each other:
 * straight, where the destination can be reached, else through the edge's pipe, which cannot read what it carries.
 *
 *   source                                   destination
 *     | -- TCP to `inbound`, or WebSocket /agent/v1/moves/{migration}/{stream} --
 *     | <-- each proves that it has its host's key, and both agree on a key of this stream --> |
 *     | == one encrypted, authenticated stream of bytes; several at a time == |
 */
import { z } from "zod";

/** Streams that one move may have at a time. */
export const MAX_MOVE_STREAMS = 16;

const MAX_SECRET_CHARS = 2048;

/** The two ends of a move. */
export type MoveSide = "source" | "destination";

/** The other end, as the edge tells of it, and the way to it. */
export const movePeer = z.object({
  /** The migration's uuid, which names the move. */
  migration: z.uuid(),
  /** The other host's name, and the public key that it enrolled with (Ed25519, `x` of its JWK). */
  host: z.string().max(255),
  public_key: z.base64url().length(43),
  /** The bearer with which this end dials the pipe. */
  ticket: z.string().max(MAX_SECRET_CHARS),
  /** Where the destination listens for hosts that can reach it (`migration_inbound_addr`); null: it does not. */
  inbound: z.object({ address: z.string().max(255), port: z.int().min(1).max(65_535) }).nullable(),
});
export type MovePeer = z.infer<typeof movePeer>;

/** The close codes of the pipe, from the range that RFC 6455 §7.4.2 leaves to applications. */
export const MOVE_CLOSE = {
  /** The other end did not come in time. */
  ALONE: 4504,
  /** The move is over, or this end is not of it. */
  OVER: 4403,
} as const;

/** How a live migration may go (nova/conf/libvirt.py). Times in seconds; bandwidth in MiB/s, 0: no limit. */
export const liveMigrationOptions = z.object({
  live_migration_bandwidth: z.int().min(0),
  /** Milliseconds. */
  live_migration_downtime: z.int().min(100),
  live_migration_downtime_steps: z.int().min(3),
  live_migration_downtime_delay: z.int().min(3),
  /** For each GiB of memory and disk; 0: never. */
  live_migration_completion_timeout: z.int().min(0),
  live_migration_timeout_action: z.enum(["abort", "force_complete"]),
  live_migration_permit_post_copy: z.boolean(),
  live_migration_permit_auto_converge: z.boolean(),
});
export type LiveMigrationOptions = z.infer<typeof liveMigrationOptions>;

/** What a destination must know of the guest before it can take it (nova: LibvirtLiveMigrateData). Sizes in bytes. */
export const liveMigrateData = z.object({
  /** The CPU that the guest sees, as libvirt's XML; empty where the driver has none. */
  cpu: z.string().max(65_535),
  machine: z.string().max(255),
  hypervisor_version: z.int().min(0),
  /** By their names in the guest's folder. */
  disks: z
    .array(
      z.object({
        name: z.string().regex(/^[a-z0-9._-]{1,64}$/),
        format: z.enum(["raw", "qcow2"]),
        capacity: z.int().min(0),
        allocation: z.int().min(0),
      }),
    )
    .max(32),
  /** What the source has written into the guest's folder: a host that reads it there sees the very same files. */
  probe: z.string().max(255).nullable().default(null),
});
export type LiveMigrateData = z.infer<typeof liveMigrateData>;
