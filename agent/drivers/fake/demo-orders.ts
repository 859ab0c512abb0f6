/**
 * What a server's metadata orders its fake guest to do wrong.
 *
 *   fake:fail      Comma list of what fails: spawn, power_on, power_off, reboot, destroy, vnc. Each may name the error
 *                  it fails with: `spawn=BuildAbortException,vnc`. Without one: ConsoleNotAvailable for vnc,
 *                  Unexpected for the others. A spawn fails after its image and its delay, and leaves nothing behind.
 *   fake:delay_ms  Milliseconds that spawn takes, at most 10 minutes.
 *   fake:vanish    Milliseconds after spawn, at most a day, at which the guest disappears by itself.
 *   fake:crash     Milliseconds after spawn, at most a day, at which the guest crashes if it runs then.
 *
 * What is not understood is ignored.
 */
import { CALL_ERRORS, type CallErrorCode } from "../../../functions/protocol/methods.ts";
import { DriverError } from "../driver.ts";

export const FAILABLE = ["spawn", "power_on", "power_off", "reboot", "destroy", "vnc"] as const;
export type Failable = (typeof FAILABLE)[number];

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
    if (method) fail.set(method, named ?? (method === "vnc" ? "ConsoleNotAvailable" : "Unexpected"));
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

function milliseconds(metadata: Metadata, { key, most }: { key: string; most: number }): number | null {
  const text = metadata[key]?.trim() ?? "";
  return /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : null;
}
