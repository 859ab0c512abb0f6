/**
 * The contract between the agent and a hypervisor: nova/virt/driver.py in small.
 *
 * Every method that changes a guest is idempotent: the agent may be killed after the hypervisor acted and before the
 * journal knew, and then calls again. No method may block the event loop. A driver knows guests by their server uuid.
 */
import type { GuestInterface, Inventory, PowerState, VncAddress } from "../../functions/protocol/guest.ts";
import type { CallErrorCode, Diagnostics, GuestSpec, ImageRef } from "../../functions/protocol/methods.ts";
import type { LiveMigrateData, LiveMigrationOptions } from "../../functions/protocol/move.ts";
import type { MoveLink } from "../move/moves.ts";

export type GuestInfo = { uuid: string; power_state: PowerState };

/** A guest that runs, with the interfaces that it has, none included. */
export type GuestNetworks = GuestInfo & { interfaces: GuestInterface[] };

/**
 * Called when a guest changed by itself or from outside (nova: emit_event). A guest that vanished has NOSTATE. Of one that
 * comes alive from another host the first word is that it runs here.
 */
export type LifecycleListener = (guest: GuestInfo) => void;

/** How long a guest may take to shut down before it is stopped hard; `hurry` ends the wait, and never the work. */
export type Grace = { seconds: number; hurry: AbortSignal };

export type DriverContext = {
  /** A directory that is the driver's own, and exists. */
  stateDir: string;
  /**
   * The local path of an image's verified, read-only bytes; downloads it once, however many ask. The file is named by
   * the image's sha512, and is there until the call has ended and, after it, as long as `usedImages` names it.
   */
  image(ref: ImageRef, signal: AbortSignal): Promise<string>;
  log(event: string, fields?: Record<string, unknown>): void;
};

/** `spec` is the guest as its config drive tells of it while it is rescued; null keeps the drive that it has. */
export type RescueOrder = { image: ImageRef; spec: GuestSpec | null };
export type RebuildOrder = { spec: GuestSpec; start: boolean };
/** `from`: the disks are that host's, on storage that this one shares with it, and the guest is this host's now. */
export type FinishOrder = RebuildOrder & { from?: string | undefined };

/** A file that is one of a guest's own disks: its name in the guest's folder, and where it is. */
export type GuestDisk = { name: string; path: string };

/** How far a live migration has come, in bytes (nova/objects/migration.py). */
export type LiveProgress = Record<
  "memory_total" | "memory_processed" | "memory_remaining" | "disk_total" | "disk_processed" | "disk_remaining",
  number
>;

/** `switched`: the guest stands still here, and its screen with it, to go on at the other end. */
export type DepartureNews = { progress(progress: LiveProgress): void; switched(): void };

/**
 * A guest that is to come alive, and one that is to go so. `block_migration`: with its disks; without it they stay where
 * they are, on storage that both hosts see. `to`: the other host's name at the edge.
 */
export type ArrivalOrder = { spec: GuestSpec; data: LiveMigrateData; block_migration: boolean };
export type DepartureOrder = { options: LiveMigrationOptions; block_migration: boolean; to: string };
/** null: with its disks unless the two hosts share the storage that they are on. */
export type ArrivalQuestion = Omit<ArrivalOrder, "block_migration"> & { block_migration: boolean | null };

/** What a driver does whose guests can go to another host. */
export interface Moving {
  /**
   * nova: migrate_disk_and_power_off. Stops the guest, as powerOff does, and puts its files aside, where they stay as they
   * are until finishRevertMigration, confirmMigration or destroy; whatever else begins on the guest brings them back.
   */
  migrateDiskAndPowerOff(uuid: string, migration: string, grace?: Grace): Promise<void>;
  /**
   * The disks of a guest that were put aside for this migration where this host can read them, in files that lean on
   * nothing but its image, which every host has from the edge. Null when there are none.
   */
  disksOf(uuid: string, migration: string): Promise<GuestDisk[] | null>;
  /**
   * Makes room for a guest that is to come, with its image at hand, and tells where a disk of a name is to be written.
   * What an earlier try has written is kept. InsufficientFreeDisk.
   */
  prepareDisks(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<(name: string) => string>;
  /** nova: finish_migration. Makes a guest of the disks that have come, grown to what `spec` says, and starts it if told. */
  finishMigration(uuid: string, order: FinishOrder): Promise<void>;
  /** nova: finish_revert_migration. The guest is as it was when it was put aside, if it was, and is off. */
  finishRevertMigration(uuid: string): Promise<void>;
  /** nova: confirm_migration. Where a guest was made in place of one that was put aside, that one goes. */
  confirmMigration(uuid: string): Promise<void>;
  /** nova: instance_on_disk. Whether this host sees the guest's files, which are that host's. */
  instanceOnDisk(uuid: string, host: string): Promise<boolean>;
  /** nova: check_can_live_migrate_source. InstanceInvalidState unless the guest runs or is paused. */
  checkSource(uuid: string): Promise<LiveMigrateData>;
  /**
   * nova: check_can_live_migrate_destination. Whether its disks are to come with the guest; MigrationError with why it
   * cannot come. Changes nothing.
   */
  checkDestination(uuid: string, asked: ArrivalQuestion): Promise<{ block_migration: boolean }>;
  /** nova: pre_live_migration. From here on the guest may come over `link`; `destroy` takes all of it back. */
  preLiveMigration(uuid: string, order: ArrivalOrder, link: MoveLink, signal: AbortSignal): Promise<void>;
  /**
   * nova: live_migration. Resolves when the guest runs at the other end and is gone from here, with `aborted` when it was
   * aborted and goes on here. After any other failure it goes on here, too: MigrationError.
   */
  liveMigration(
    uuid: string,
    order: DepartureOrder,
    link: MoveLink,
    news: DepartureNews,
  ): Promise<{ aborted: boolean }>;
  /** nova: post_live_migration_at_destination. The guest, which may have gone off since, is this host's from here on. */
  postLiveMigration(uuid: string): Promise<void>;
  /** InstanceInvalidState when there is no live migration of the guest under way. */
  abortLiveMigration(uuid: string): Promise<void>;
  forceCompleteLiveMigration(uuid: string): Promise<void>;
}

export interface Driver {
  /** Absent: this driver's guests stay where they are. */
  moving?: Moving;
  /** nova: init_host. Connects to the hypervisor; rejects with HypervisorUnavailable and a message that says what to do. */
  init(): Promise<void>;
  /** nova: cleanup_host. Lets go of the hypervisor and leaves every guest as it is. */
  close(): Promise<void>;
  /** nova: get_available_resource. */
  getAvailableResource(): Promise<Inventory>;
  /** nova: list_instances, with get_info of each. Only guests that this driver made, and none that is yet to come. */
  listGuests(): Promise<GuestInfo[]>;
  /**
   * Names the run of the machine under the hypervisor since it was switched on: guests that ran in another do not run in
   * this one. Null when the driver cannot tell.
   */
  bootId(): Promise<string | null>;
  /** The servers that have files of this host's here and no guest: `destroy` removes them. */
  listLeftovers(): Promise<string[]>;
  /** The guests that run, with what is known of their addresses. Absent: this driver's guests have no network. */
  listNetworks?(): Promise<GuestNetworks[]>;
  /** nova: get_info. Null when there is no such guest. */
  getInfo(uuid: string): Promise<GuestInfo | null>;
  /**
   * Builds and starts the guest. A guest half built by an earlier attempt is finished or made anew. One that is there
   * is left alone when it runs, and else started from its own disk: a rescue that was left half done is undone.
   */
  spawn(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<void>;
  /**
   * Ends the guest and removes all that spawn made, unless it is another host's by now, which sees the same files. A guest
   * that does not exist is not an error.
   */
  destroy(uuid: string): Promise<void>;
  /** Makes the guest run, from wherever it is: it goes on if it is paused or suspended, and boots if it is off. */
  powerOn(uuid: string): Promise<void>;
  /** Stops the guest, and forgets a suspended guest's memory. Without `grace` it is stopped hard, at once. */
  powerOff(uuid: string, grace?: Grace): Promise<void>;
  /** SOFT asks the guest; HARD resets it. A guest that does not run is booted, and a suspended one's memory forgotten. */
  reboot(uuid: string, type: "SOFT" | "HARD", hurry: AbortSignal): Promise<void>;
  /** Stops the guest's processors; its screen stands still. InstanceInvalidState unless it runs or is paused. */
  pause(uuid: string): Promise<void>;
  /** InstanceInvalidState unless the guest is paused or runs. */
  unpause(uuid: string): Promise<void>;
  /** Saves the guest's memory on the host and ends it. InstanceInvalidState unless it runs or is suspended. */
  suspend(uuid: string): Promise<void>;
  /** As powerOn: a guest whose memory was lost boots. */
  resume(uuid: string): Promise<void>;
  /**
   * Boots the guest from an image, its own disks beside it, wherever it was before; what was in memory is lost.
   * A guest that has a config drive has another while it is rescued, made of the order's spec.
   * A rescue that fails for its image leaves the guest as it was.
   */
  rescue(uuid: string, order: RescueOrder, signal: AbortSignal): Promise<void>;
  /** Boots the guest from its own disk again. One that is not rescued is started, if it does not run. */
  unrescue(uuid: string): Promise<void>;
  /**
   * Makes the guest's disks anew, losing what was on them, and starts it if `start` says so. A guest that is not there
   * is built. An image that cannot be had leaves the guest as it was.
   */
  rebuild(uuid: string, order: RebuildOrder, signal: AbortSignal): Promise<void>;
  /**
   * What the guest wrote to its serial console: at most the last MAX_CONSOLE_BYTES. Rejects with ConsoleNotAvailable
   * when nothing of it was ever kept.
   */
  getConsoleOutput(uuid: string): Promise<Buffer>;
  /** Rejects with InstanceInvalidState unless the guest runs. */
  getDiagnostics(uuid: string): Promise<Diagnostics>;
  /**
   * Has the guest's own agent set the password of its administrator. Rejects with InstanceAgentNotEnabled when it has
   * none, NotSupported when that does not answer, InstancePasswordSetFailed when it refuses.
   */
  setAdminPassword(uuid: string, password: string): Promise<void>;
  /** nova: trigger_crash_dump. Rejects with InstanceInvalidState when the guest is off. */
  injectNmi(uuid: string): Promise<void>;
  /**
   * nova: snapshot. Copies the guest's root disk, as it is at one moment, into a new file at `path` that leans on no
   * other; a running guest goes on. Rejects with NotSupported when the guest has no disk. After a failure or an abort
   * the caller removes what there is of the file.
   */
  snapshot(uuid: string, path: string, signal: AbortSignal): Promise<{ disk_format: ImageRef["disk_format"] }>;
  /**
   * The sha512 of every image on whose file a guest leans, in any state that it may be in. It may name files that are no
   * images; without it, no guest leans on any.
   */
  usedImages?(): Promise<ReadonlySet<string>>;
  /** Where the guest's VNC server listens now; rejects with ConsoleNotAvailable when it has none. */
  getVncConsole(uuid: string): Promise<VncAddress>;
  /** Subscribes to changes nobody asked for; returns the way to unsubscribe. */
  onLifecycle(listener: LifecycleListener): () => void;
}

/** Throws NotSupported for a driver whose guests stay where they are. */
export function movingOf({ moving }: Pick<Driver, "moving">): Moving {
  if (moving === undefined) throw new DriverError("NotSupported", "This hypervisor's guests cannot be moved.");
  return moving;
}

/** A failure the edge may tell its user: the message holds no path, secret or stack. */
export class DriverError extends Error {
  override name = "DriverError";
  readonly code: CallErrorCode;
  constructor(code: CallErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
