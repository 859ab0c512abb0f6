/**
 * Whether a host is up (nova: servicegroup/drivers/db.py is_up), as pure rules:
 *
 *                 hello                            its link ends, or the edge finds it lost
 *     down ------------------> linked ------------------------------------------------> unlinked
 *      ^                       |    ^                      hello                         |    |
 *      |  silent too long      |    +----------------------------------------------------+    |
 *      +-----------------------+-------------------------------------------------------------+
 *
 * Silence counts only while the edge was there to hear. While a link is up the runtime notes its heartbeats, and a
 * look about every service_down_time is enough; while there is none, the edge looks once each report_interval, and
 * time that no look confirms as its own, since the edge was killed, deployed or frozen, is no silence of the host.
 */

/** What a host's object remembers; it changes with the link, never with a heartbeat. Times are Unix ms. */
export type Watched =
  | { state: "linked" }
  /** `silent_ms`: what the edge has heard of the host's silence, up to its look at `looked_at`. */
  | { state: "unlinked"; seen_at: number; silent_ms: number; looked_at: number }
  | { state: "down"; seen_at: number | null };

/** report_interval and service_down_time. */
export type Times = { reportMs: number; downMs: number };
/** `seenAt`: the last sign of life on a socket that is there; null when none is. */
export type Sight = { now: number; seenAt: number | null };

/** nova/service.py: a service that is given no time for two heartbeats would never be up. Seconds. */
export function serviceDownTime(given: { REPORT_INTERVAL: number; SERVICE_DOWN_TIME: number }): number {
  const { REPORT_INTERVAL, SERVICE_DOWN_TIME } = given;
  return SERVICE_DOWN_TIME > REPORT_INTERVAL ? SERVICE_DOWN_TIME : 2.5 * REPORT_INTERVAL;
}

export const NEVER_SEEN: Watched = { state: "down", seen_at: null };

/** An alarm that comes later than this shows that the edge was away. */
const SLACK_MS = 1000;
const isLate = (plannedAt: number, now: number, { reportMs }: Times) => now - plannedAt > reportMs + SLACK_MS;

/** From a heartbeat to the look that judges by it: half an interval after the one that is due when service_down_time ends. */
export const lookAfterMs = ({ reportMs, downMs }: Times) => (Math.ceil(downMs / reportMs) + 0.5) * reportMs;

const stepMs = (silentMs: number, { reportMs, downMs }: Times) =>
  Math.min(reportMs, Math.max(0, downMs - silentMs) + 1);

/** The object has come into memory: a link without its socket went down with the edge, and nobody knows when. */
export function woken(watched: Watched, { now, seenAt }: Sight): Watched {
  if (watched.state !== "linked" || seenAt !== null) return watched;
  return { state: "unlinked", seen_at: now, silent_ms: 0, looked_at: now };
}

/** The link has ended; its last sign of life was at `seenAt`. */
export function unlinked(watched: Watched, seenAt: number, now: number, times: Times): Watched {
  if (watched.state !== "linked") return watched;
  const silentMs = now - seenAt;
  // A longer silence would have been looked at, had the edge been there.
  const silent_ms = isLate(seenAt + lookAfterMs(times), now, times) ? 0 : silentMs;
  return { state: "unlinked", seen_at: seenAt, silent_ms, looked_at: now };
}

/** How long the host has been silent while the edge was there, ms. */
function silence(watched: Watched, { now, seenAt }: Sight, times: Times): number {
  if (watched.state === "down") return Number.POSITIVE_INFINITY;
  if (watched.state === "linked") return now - (seenAt ?? now);
  const plannedAt = watched.looked_at + stepMs(watched.silent_ms, times);
  return watched.silent_ms + (isLate(plannedAt, now, times) ? 0 : now - watched.looked_at);
}

export function isUp(watched: Watched, sight: Sight, times: Times): boolean {
  return silence(watched, sight, times) <= times.downMs;
}

/** The look that was planned for `plannedAt`: what is known then, and when to look again; null: not before it is back. */
export function look(
  before: Watched,
  sight: Sight & { plannedAt: number },
  times: Times,
): { watched: Watched; nextAt: number | null } {
  const watched = woken(before, sight);
  if (watched.state === "down") return { watched, nextAt: null };
  const { now, seenAt, plannedAt } = sight;
  const silent_ms = silence(watched, sight, times);
  const up = silent_ms <= times.downMs;
  if (watched.state === "unlinked") {
    const { seen_at } = watched;
    if (!up) return { watched: { state: "down", seen_at }, nextAt: null };
    const next: Watched = { state: "unlinked", seen_at, silent_ms, looked_at: now };
    return { watched: next, nextAt: now + stepMs(silent_ms, times) };
  }
  if (up) return { watched, nextAt: now - silent_ms + lookAfterMs(times) };
  // A machine that slept has the sockets that it had, and heartbeats of before.
  if (isLate(plannedAt, now, times)) return { watched, nextAt: now + times.reportMs };
  return { watched: { state: "down", seen_at: seenAt }, nextAt: null };
}
