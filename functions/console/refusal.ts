/** How a page is told that there is no screen: in the same form whatever the reason. */
import type { RefusedSession, Why } from "../protocol/console-session.ts";
import type { Refused } from "./link.ts";

const MESSAGE: Record<Why, string> = {
  unknown: "This console link is not known here.",
  expired: "The time of this console link is over.",
  used_up: "This console link was used as often as it may be.",
  revoked: "This console link was withdrawn.",
  locked_out: "Who gave this console link may not give it any more.",
  locked: "An administrator has locked the server.",
  killed: "This session was ended by the server's owner or an administrator.",
  stolen: "This session was ended for your safety: its key was used in two places.",
  pin_needed: "This console link has a PIN.",
  pin_wrong: "The PIN is wrong.",
  address: "This console link is not for the network that you are in.",
  server_gone: "The server was deleted.",
  server_stopped: "The server has no screen now. It has to be started.",
  server_restarted: "The server was started anew since this console link was made.",
  host_offline: "The server's host is not connected.",
  private: "Somebody is on this screen, and it is private.",
  full: "As many people as may be are on this screen.",
  power_denied: "This console link gives no right to start or stop the server.",
  too_many_requests: "Too many requests from your network. Try again in a minute.",
  origin: "The page is not one that may open consoles here.",
  failed: "The console could not be opened. Try again.",
};

/** 429 and 503 pass by themselves; 409 is the server's state; every other is a 403. */
export function statusOf(why: Why): 403 | 409 | 429 | 503 {
  if (why === "too_many_requests") return 429;
  if (why === "failed" || why === "host_offline") return 503;
  return why === "server_stopped" ? 409 : 403;
}

/** @param message instead of the reason's own */
export function refusalBody({ why, since, ask, power }: Refused, message = MESSAGE[why]): RefusedSession {
  const time = since === null ? null : new Date(since).toISOString();
  return { refused: { code: statusOf(why), why, message, since: time, ask, power } };
}
