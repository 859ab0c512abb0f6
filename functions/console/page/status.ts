/** What the viewer is doing, and how that reads. */
import { CONSOLE_CLOSE } from "../../protocol/console.ts";
import { type Action, actionFor, type Trouble } from "./trouble.ts";
import type { Words } from "./words-en.ts";

/** Codes that say only that a connection closed (RFC 6455 §7.4.1): done, going away, no code given, no close frame. */
const PLAIN_CLOSE: ReadonlySet<number> = new Set([1000, 1001, 1005, 1006]);

export type Status =
  | { state: "connecting" }
  | { state: "connected" }
  /** It comes by itself. `began`: it comes back. */
  | { state: "resuming"; began: boolean; trouble: Trouble }
  | { state: "pin"; wrong: boolean }
  /** `began`: there was a picture. */
  | { state: "ended"; began: boolean; trouble: Trouble }
  /** `reopened`: this tab had a link once. */
  | { state: "no-link"; reopened: boolean };

export type State = Status["state"];

/** The card over the screen. `next`: what to do about it. */
export type Card = { heading: string; reason: string; next: string; action: Action | null };

export function cardOf(status: Status, words: Words): Card {
  const empty = { reason: "", next: "", action: null };
  switch (status.state) {
    case "connecting":
    case "connected":
      return { ...empty, heading: words.state[status.state] };
    case "resuming":
      return {
        heading: status.began ? words.resuming : words.notYet,
        ...textOf(status.trouble, words),
        action: null,
      };
    case "pin":
      return { ...empty, heading: words.pinHeading, reason: status.wrong ? words.pinWrong : words.pinNeeded };
    case "ended":
      return {
        heading: headingOf(status, words),
        ...textOf(status.trouble, words),
        action: actionFor(status.trouble),
      };
    case "no-link":
      return { ...empty, ...(status.reopened ? words.linkGone : words.linkNeeded) };
  }
}

function headingOf({ began, trouble }: { began: boolean; trouble: Trouble }, words: Words): string {
  if (trouble.kind === "closed" && trouble.code === CONSOLE_CLOSE.MOVED) return words.moved;
  if (trouble.kind === "refused" && trouble.refusal.why === "server_stopped") return words.stopped;
  return began ? words.over : words.notOpen;
}

/** One sentence for a trouble. */
export function reasonOf(trouble: Trouble, words: Words): string {
  return textOf(trouble, words).reason;
}

function textOf(trouble: Trouble, words: Words): { reason: string; next: string } {
  switch (trouble.kind) {
    case "unreachable":
      return { reason: words.unreachable, next: "" };
    case "closed":
      return { reason: closingOf(trouble, words), next: nextOf(trouble.code, words) };
    case "fault":
      return { reason: words.fault[trouble.fault](trouble.detail), next: "" };
    case "refused": {
      const { why, message, since, ask, power } = trouble.refusal;
      const known: Partial<Words["why"]> = words.why;
      const say = known[why];
      if (say === undefined) return { reason: message, next: "" };
      return say({ since: since === null ? null : words.when(since), ask, power });
    }
  }
}

/** What a session's end and the refusal to open one anew have in common is what to do about it. */
const REFUSAL_OF: Partial<Record<number, keyof Words["why"]>> = {
  [CONSOLE_CLOSE.REVOKED]: "revoked",
  [CONSOLE_CLOSE.KILLED]: "killed",
  [CONSOLE_CLOSE.EXPIRED]: "expired",
  [CONSOLE_CLOSE.LOCKED_OUT]: "locked_out",
  [CONSOLE_CLOSE.LOCKED]: "locked",
  [CONSOLE_CLOSE.STOLEN]: "stolen",
};

function nextOf(code: number, words: Words): string {
  const why = REFUSAL_OF[code];
  return why === undefined ? "" : words.why[why]({ since: null, ask: null, power: false }).next;
}

/** By its code, so that it is in the person's language; else as it was sent. */
function closingOf({ code, reason }: { code: number; reason: string }, words: Words): string {
  const known: Record<number, string> = words.closed;
  return known[code] ?? (reason.trim() || words.lost(PLAIN_CLOSE.has(code) ? null : code));
}
