/**
 * What a viewer page and the edge say to each other by HTTP, beside the screen's own WebSocket:
 *
 *   page                                              edge
 *     | -- POST /console/v1/sessions: token, pin ----> |   a new session
 *     | -- POST /console/v1/sessions/resume: key ----> |   the same session again
 *     | <- opened: session, key, ticket -------------- |   or refused: why
 *     | -- WebSocket /console/v1/screen?ticket= -----> |   the first use of a ticket makes every older key a stolen one
 *     | -- POST /console/v1/sessions/power: key, do -> |   `key` of the session as it is now
 *
 * A key is good for one resume: the answer brings the next. The page keeps the newest that it got.
 */
import { z } from "zod";
import type { Sharing } from "./console.ts";

/** Where a page's WebSocket comes in. */
export const SCREEN_PATH = "/console/v1/screen";

const MAX_SECRET_CHARS = 2048;
const secret = z.string().min(1).max(MAX_SECRET_CHARS);

/** Shortest and longest PIN; digits, so that it can be told on the telephone and typed on one. */
export const PIN = /^[0-9]{4,12}$/;

/**
 * `attempt`: the same in each try of one opening. Where the answer was lost, the next try gets it again, and is no use of
 * the link of its own.
 */
export const openSession = z.strictObject({
  token: secret,
  pin: z.string().max(32).optional(),
  attempt: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
});
export const resumeSession = z.strictObject({ key: secret });
export const POWER_ORDERS = ["start", "stop", "reboot", "reset"] as const;
export type PowerOrder = (typeof POWER_ORDERS)[number];
export const powerSession = z.strictObject({ key: secret, do: z.enum(POWER_ORDERS) });

/** `status`: the server's, as Nova says it. Times are ISO 8601 in UTC. */
export type OpenedSession = {
  session: {
    id: string;
    server: { id: string; name: string; status: string };
    label: string;
    rights: { input: boolean; clipboard: boolean; power: boolean };
    sharing: Sharing;
    /** When the right ends, whatever is open then; null: with the session. */
    ends_at: string | null;
  };
  key: string;
  ticket: string;
};

/** Why there is no screen. */
export const WHY = [
  /** No such token or key; or one of another deployment. */
  "unknown",
  "expired",
  "used_up",
  "revoked",
  /** Who gave the link may not any more. */
  "locked_out",
  "locked",
  "killed",
  "stolen",
  "pin_needed",
  "pin_wrong",
  /** The caller's address is not one that the link is for. */
  "address",
  "server_gone",
  /** It has no screen: it is off, or shelved, or being built. */
  "server_stopped",
  /** It was started anew since the link was made. */
  "server_restarted",
  "host_offline",
  /** Somebody is on it, and it is private. */
  "private",
  /** As many as may be are on it. */
  "full",
  "power_denied",
  "too_many_requests",
  "origin",
  "failed",
] as const;
export type Why = (typeof WHY)[number];

/**
 * A fault in Nova's form, with the same fields whatever the reason: `code` is the HTTP status; `message` for people, in
 * English; `since` where something is so since a time; `ask` is who can give a new link, as far as that is known;
 * `power` what the caller may still do about it.
 */
export type RefusedSession = {
  refused: { code: number; why: Why; message: string; since: string | null; ask: string | null; power: boolean };
};
