/** Why there is no picture, and what the page does about it by itself. */
import { CONSOLE_CLOSE } from "../../protocol/console.ts";
import type { RefusedSession, Why } from "../../protocol/console-session.ts";

export type Refusal = RefusedSession["refused"];

/** What the viewer finds out itself, once there is a socket. */
export type Fault = "credentials" | "unverified" | "garbled" | "unloadable" | "declined";

export type Trouble =
  /** No answer, or none from an edge. */
  | { kind: "unreachable" }
  | { kind: "refused"; refusal: Refusal }
  | { kind: "closed"; code: number; reason: string }
  /** `detail`: the VNC server's own text, where it gave one. */
  | { kind: "fault"; fault: Fault; detail: string };

/**
 * `resume`: try again at once, then at longer intervals. `watch`: the same at a slow pace, because what must change
 * takes time. `pin`: ask for it. `stop`: the person decides.
 */
export type Step = "resume" | "watch" | "pin" | "stop";

/** Closings after which coming back makes no sense, or not without the person. */
const STOPS: ReadonlySet<number> = new Set([
  CONSOLE_CLOSE.BAD_VIEWER,
  CONSOLE_CLOSE.BAD_SCREEN,
  CONSOLE_CLOSE.REVOKED,
  CONSOLE_CLOSE.KILLED,
  CONSOLE_CLOSE.EXPIRED,
  CONSOLE_CLOSE.LOCKED_OUT,
  CONSOLE_CLOSE.LOCKED,
  CONSOLE_CLOSE.MOVED,
  CONSOLE_CLOSE.STOLEN,
  CONSOLE_CLOSE.FULL,
]);

/** Refusals that pass by themselves; the others stay. */
const PASSING: Partial<Record<Why, Step>> = {
  host_offline: "resume",
  failed: "resume",
  too_many_requests: "watch",
  server_stopped: "watch",
  pin_needed: "pin",
  pin_wrong: "pin",
};

/** An unknown close code is one of a path: a proxy's, or the runtime's own. The edge then says what it is. */
export function stepAfter(trouble: Trouble): Step {
  switch (trouble.kind) {
    case "unreachable":
      return "resume";
    case "refused":
      return PASSING[trouble.refusal.why] ?? "stop";
    case "closed":
      return STOPS.has(trouble.code) ? "stop" : "resume";
    case "fault":
      return "stop";
  }
}

/** What the card's button does: try again, start the server, take the console back from another window. */
export type Action = "again" | "start" | "bring";

/** Troubles that may be over when the person tries again. */
const WORTH_A_TRY: ReadonlySet<number> = new Set([
  CONSOLE_CLOSE.BAD_VIEWER,
  CONSOLE_CLOSE.BAD_SCREEN,
  CONSOLE_CLOSE.FULL,
]);
const MAY_PASS: ReadonlySet<Why> = new Set(["private", "full", "too_many_requests", "server_stopped", "address"]);

export function actionFor(trouble: Trouble): Action | null {
  switch (trouble.kind) {
    case "unreachable":
      return "again";
    case "refused":
      if (trouble.refusal.why === "server_stopped" && trouble.refusal.power) return "start";
      return MAY_PASS.has(trouble.refusal.why) ? "again" : null;
    case "closed":
      if (trouble.code === CONSOLE_CLOSE.MOVED) return "bring";
      return WORTH_A_TRY.has(trouble.code) ? "again" : null;
    case "fault":
      // A module that failed to load stays failed for as long as the page lives.
      return trouble.fault === "unloadable" ? null : "again";
  }
}
