/**
 * What may become of a fake guest, as pure functions of its row.
 *
 *             spawn, rebuild          power_off
 *   (none) -----------------> RUNNING ---------> SHUTDOWN <--- power_off, from anywhere
 *      ^                      ^  |  ^  \ crash
 *      | destroy, vanish      |  |  |   +------> CRASHED
 *      | from anywhere  pause |  |  | suspend
 *                     unpause |  |  | resume
 *                             v  |  v
 *                        PAUSED  | SUSPENDED
 *
 * power_on, reboot, rescue, unrescue and rebuild make it RUNNING from anywhere: power_on goes on where a pause or a
 * suspension left it, the others boot. A guest's clock, from its boot on, stands still while it does not run.
 */
import { POWER_STATE, type PowerState } from "../../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { DriverError } from "../driver.ts";
import { readOrders } from "./demo-orders.ts";
import { age, clockFrom, goOn, halt } from "./guest-clock.ts";
import type { StoredGuest } from "./guest-store.ts";

const { NOSTATE, RUNNING, PAUSED, SUSPENDED } = POWER_STATE;
/** A guest that is hit again and again tells of the last of it. */
const MAX_MESSAGES = 100;

/** A guest of new disks, never booted. */
export function made({ uuid, spec, now }: { uuid: string; spec: GuestSpec; now: number }): StoredGuest {
  const { vanishMs, crashMs } = readOrders(spec.metadata);
  return {
    uuid,
    // The drive has what is told once; the list of guests need not have it too.
    spec: { ...spec, config_drive: null },
    config_drive: spec.config_drive !== null,
    power_state: NOSTATE,
    ...halt(clockFrom(now), now),
    rescue: null,
    messages: [],
    password_set: false,
    vanish_at: vanishMs === null ? null : now + vanishMs,
    crash_at: crashMs === null ? null : now + crashMs,
  };
}

/** Whether there is a process with a screen. */
export function hasScreen({ power_state }: StoredGuest): boolean {
  return power_state === RUNNING || power_state === PAUSED;
}

export function booted(guest: StoredGuest, now: number): StoredGuest {
  return { ...guest, ...clockFrom(now), power_state: RUNNING, messages: [] };
}

/** The guest as it runs, with what was in its memory if that is still there. */
export function going(guest: StoredGuest, now: number): StoredGuest {
  if (guest.power_state === RUNNING) return guest;
  if (guest.power_state !== PAUSED && guest.power_state !== SUSPENDED) return booted(guest, now);
  return { ...goOn(guest, now), power_state: RUNNING };
}

/** The guest without a process. A crash that was to come has lost its guest, and will not come. */
export function stopped(guest: StoredGuest, power_state: PowerState, now: number): StoredGuest {
  return { ...halt(guest, now), power_state, crash_at: null };
}

/** The guest after its host was switched off: what had a process has none, and what was on the disk is still there. */
export function switchedOff(guest: StoredGuest, now: number): StoredGuest {
  return hasScreen(guest) ? stopped(guest, POWER_STATE.SHUTDOWN, now) : guest;
}

/** The guest PAUSED or SUSPENDED. Throws InstanceInvalidState unless it runs, or is that already. */
export function held(guest: StoredGuest, as: typeof PAUSED | typeof SUSPENDED, now: number): StoredGuest {
  if (guest.power_state === as) return guest;
  if (guest.power_state === RUNNING) return { ...halt(guest, now), power_state: as };
  throw new DriverError("InstanceInvalidState", "the guest does not run");
}

/** A paused guest as it goes on. Throws InstanceInvalidState when it is neither paused nor running. */
export function unpaused(guest: StoredGuest, now: number): StoredGuest {
  if (guest.power_state === PAUSED || guest.power_state === RUNNING) return going(guest, now);
  throw new DriverError("InstanceInvalidState", "the guest is not paused");
}

/** The guest after its kernel said `text`. */
export function told(guest: StoredGuest, text: string, now: number): StoredGuest {
  const messages = [...guest.messages, { after_ms: age(guest, now), text }].slice(-MAX_MESSAGES);
  return { ...guest, messages };
}
