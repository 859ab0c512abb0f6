/** A console session: one person on one screen, over as many connections (legs) as it takes. Pure. */
import type { ScreenBinding } from "../conductor/screen.ts";
import { CONSOLE_CLOSE } from "../protocol/console.ts";
import type { Why } from "../protocol/console-session.ts";
import type { ConsoleCounts } from "../protocol/methods.ts";

/** Why a session is over for good. */
export type Over = Extract<
  Why,
  "revoked" | "killed" | "expired" | "locked_out" | "locked" | "stolen" | "server_gone" | "server_restarted"
>;

/** Times in ms since the epoch. */
export type SessionRow = ConsoleCounts & {
  id: string;
  link: string;
  label: string;
  /** Who gave the link. */
  user_id: string;
  address: string;
  /** Of the page: by which it knows its session again when the answer to its opening is lost. */
  attempt: string | null;
  /** Whether it is the page, which resumes, or another VNC client. */
  page: boolean;
  host: string;
  bound: ScreenBinding;
  /** Whether it started the server itself, and so goes on with the next guest. */
  carried: boolean;
  started_at: number;
  /** The last connection that was let in; 0: none yet. */
  leg: number;
  joined_at: number | null;
  /** The last one whose end is known. */
  leg_seen: number;
  left_at: number | null;
  code: number | null;
  over_at: number | null;
  over_why: Over | null;
};

/** Whether somebody is connected. */
export function isOpen({ leg, leg_seen, over_at }: SessionRow): boolean {
  return over_at === null && leg > leg_seen;
}

/** Until when it may be gone on with, ms since the epoch; `ttlMs` from the end of its last connection. */
export function resumableUntil(row: SessionRow, ttlMs: number): number {
  if (row.over_at !== null) return row.over_at;
  return isOpen(row) ? Number.POSITIVE_INFINITY : (row.left_at ?? row.joined_at ?? row.started_at) + ttlMs;
}

/** What everybody may read of a session. Times are ISO 8601 in UTC. */
export type SessionRecord = ConsoleCounts & {
  id: string;
  server_id: string;
  project_id: string;
  link_id: string;
  label: string;
  user_id: string;
  address: string;
  started_at: string;
  ended_at: string | null;
  open: boolean;
  ended_by: string | null;
};

export function recordOf(row: SessionRow, server_id: string, project_id: string): SessionRecord {
  const open = isOpen(row);
  const ended = open ? null : (row.left_at ?? row.started_at);
  const { id, link, label, user_id, address, bytes_up, bytes_down, keys, pointers, cut_texts } = row;
  return {
    id,
    server_id,
    project_id,
    link_id: link,
    label,
    user_id,
    address,
    started_at: new Date(row.started_at).toISOString(),
    ended_at: ended === null ? null : new Date(ended).toISOString(),
    open,
    ended_by: open ? null : endedBy(row.code),
    ...{ bytes_up, bytes_down, keys, pointers, cut_texts },
  };
}

const BY_CODE = new Map<number, string>([
  ...Object.entries(CONSOLE_CLOSE).map(([name, code]): [number, string] => [code, name.toLowerCase()]),
  // RFC 6455 §7.4.1: the viewer said that it leaves, or just left.
  [1000, "viewer_left"],
  [1001, "viewer_left"],
  [1005, "viewer_left"],
  [1006, "connection_lost"],
]);

function endedBy(code: number | null): string {
  return code === null ? "never_connected" : (BY_CODE.get(code) ?? "viewer_left");
}
