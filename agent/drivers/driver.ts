/**
 * The contract between the agent and a hypervisor: nova/virt/driver.py in small.
 *
 * Every method that changes a guest is idempotent: the agent may be killed after the hypervisor acted and before the
 * journal knew, and then calls again. No method may block the event loop. A driver knows guests by their server uuid.
 */
import type { Inventory, PowerState, VncAddress } from "../../functions/protocol/guest.ts";
import type { CallErrorCode, GuestSpec, ImageRef } from "../../functions/protocol/methods.ts";

export type GuestInfo = { uuid: string; power_state: PowerState };

/** Called when a guest changed by itself or from outside (nova: emit_event). A guest that vanished has NOSTATE. */
export type LifecycleListener = (guest: GuestInfo) => void;

export type DriverContext = {
  /** A directory that is the driver's own, and exists. */
  stateDir: string;
  /** The local path of an image's verified, read-only bytes; downloads it once, however many ask. */
  image(ref: ImageRef, signal: AbortSignal): Promise<string>;
  log(event: string, fields?: Record<string, unknown>): void;
};

export interface Driver {
  /** nova: init_host. Connects to the hypervisor; rejects with HypervisorUnavailable and a message that says what to do. */
  init(): Promise<void>;
  /** nova: cleanup_host. Lets go of the hypervisor and leaves every guest as it is. */
  close(): Promise<void>;
  /** nova: get_available_resource. */
  getAvailableResource(): Promise<Inventory>;
  /** nova: list_instances, with get_info of each. Only guests that this driver made. */
  listGuests(): Promise<GuestInfo[]>;
  /** nova: get_info. Null when there is no such guest. */
  getInfo(uuid: string): Promise<GuestInfo | null>;
  /** Builds and starts the guest. A guest half built by an earlier attempt is finished or made anew. */
  spawn(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<void>;
  /** Ends the guest and removes all that spawn made. A guest that does not exist is not an error. */
  destroy(uuid: string): Promise<void>;
  powerOn(uuid: string): Promise<void>;
  powerOff(uuid: string): Promise<void>;
  /** SOFT asks the guest; HARD resets it. A guest that is off is started. */
  reboot(uuid: string, type: "SOFT" | "HARD"): Promise<void>;
  /** Where the guest's VNC server listens now; rejects with ConsoleNotAvailable when it has none. */
  getVncConsole(uuid: string): Promise<VncAddress>;
  /** Subscribes to changes nobody asked for; returns the way to unsubscribe. */
  onLifecycle(listener: LifecycleListener): () => void;
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
