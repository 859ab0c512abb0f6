/**
 * What a server's metadata orders its fake guest to do wrong.
 *
 *   fake:fail      Comma list of what fails: vnc, or a method's name (FAILABLE). Each may name the error that it fails
 *                  with: `spawn=BuildAbortException,vnc`. Without one: what DEFAULT_CODES says, else Unexpected.
 *                  What needs an image fails after that and its delay, and leaves all as it was; live_migration fails
 *                  when its time is over, and its guest goes on where it was.
 *   fake:delay_ms  Milliseconds that spawn, rebuild, rescue, receive_disks and pre_live_migration take, at most 10
 *                  minutes.
 *   fake:slow      Comma list of what takes how many milliseconds, at most 10 minutes: `destroy=500,snapshot=500`;
 *                  also `live_migration`. The work itself comes after that time.
 *   fake:vanish    Milliseconds after spawn, at most a day, at which the guest disappears by itself.
 *   fake:crash     Milliseconds after spawn, at most a day, at which the guest crashes if it runs then.
 *
 * What is not understood is ignored. A rebuild goes by the metadata that it brings.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CALL_ERRORS, type CallErrorCode } from "../../../functions/protocol/methods.ts";
import { DriverError } from "../driver.ts";

export const FAILABLE = [
  "spawn",
  "power_on",
  "power_off",
  "reboot",
  "destroy",
  "vnc",
  "pause",
  "unpause",
  "suspend",
  "resume",
  "rescue",
  "unrescue",
  "rebuild",
  "snapshot",
  "get_console_output",
  "get_diagnostics",
  "set_admin_password",
  "inject_nmi",
  "migrate_disk_and_power_off",
  "receive_disks",
  "finish_migration",
  "finish_revert_migration",
  "confirm_migration",
  "check_can_live_migrate_source",
  "check_can_live_migrate_destination",
  "pre_live_migration",
  "live_migration",
  "post_live_migration_at_destination",
] as const;
export type Failable = (typeof FAILABLE)[number];

const DEFAULT_CODES: Partial<Record<Failable, CallErrorCode>> = {
  vnc: "ConsoleNotAvailable",
  get_console_output: "ConsoleNotAvailable",
  set_admin_password: "SetAdminPasswdNotSupported",
  inject_nmi: "NotSupported",
  check_can_live_migrate_destination: "MigrationError",
  pre_live_migration: "MigrationError",
  live_migration: "MigrationError",
};

const MAX_DELAY_MS = 10 * 60_000;
const MAX_ACCIDENT_MS = 24 * 60 * 60_000;

export type DemoOrders = {
  fail: ReadonlyMap<Failable, CallErrorCode>;
  delayMs: number;
  /** Null: it never happens. */
  vanishMs: number | null;
  crashMs: number | null;
};

type Metadata = Record<string, string>;

export function readOrders(metadata: Metadata): DemoOrders {
  const fail = new Map<Failable, CallErrorCode>();
  for (const entry of (metadata["fake:fail"] ?? "").split(",")) {
    const [name, code] = entry.split("=").map((part) => part.trim());
    const method = FAILABLE.find((known) => known === name);
    const named = CALL_ERRORS.find((known) => known === code);
    if (method) fail.set(method, named ?? DEFAULT_CODES[method] ?? "Unexpected");
  }
  return {
    fail,
    delayMs: milliseconds(metadata, { key: "fake:delay_ms", most: MAX_DELAY_MS }) ?? 0,
    vanishMs: milliseconds(metadata, { key: "fake:vanish", most: MAX_ACCIDENT_MS }),
    crashMs: milliseconds(metadata, { key: "fake:crash", most: MAX_ACCIDENT_MS }),
  };
}

/** Throws the DriverError that was ordered for `method`, if one was. */
export function failIfOrdered(metadata: Metadata, method: Failable): void {
  const code = readOrders(metadata).fail.get(method);
  if (code) throw new DriverError(code, `${method} failed, as the metadata key fake:fail of the server asks`);
}

/** Resolves after the time that was ordered for `method`. */
export async function takeTime(metadata: Metadata, method: "destroy" | "snapshot"): Promise<void> {
  await sleep(timeOf(metadata, method));
}

/** Milliseconds that were ordered for `method`. */
export function timeOf(metadata: Metadata, method: "destroy" | "snapshot" | "live_migration"): number {
  const entries = (metadata["fake:slow"] ?? "").split(",").map((entry) => entry.split("=").map((part) => part.trim()));
  return milliseconds(Object.fromEntries(entries), { key: method, most: MAX_DELAY_MS }) ?? 0;
}

function milliseconds(metadata: Metadata, { key, most }: { key: string; most: number }): number | null {
  const text = metadata[key]?.trim() ?? "";
  return /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : null;
}
