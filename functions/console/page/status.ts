/**
 * What the viewer can be doing, and the words for it.
 *
 *   connecting ──► connected ──► ended
 *       └───────────────────────►  │
 *       ◄──────── Reconnect ───────┘        no-link: nothing to connect with; the page says so and stays there
 */
import { CONSOLE_REASON } from "../../protocol/console.ts";

/** `retry` says whether Reconnect makes sense: the same link may work again. */
export type Ending = { reason: string; retry: boolean };

export type Status =
  | { state: "connecting" }
  | { state: "connected" }
  | ({ state: "ended"; began: boolean } & Ending)
  | { state: "no-link"; reason: string; example: boolean };

export type State = Status["state"];

/** The word in the bar. */
export const STATE_LABEL: Record<State, string> = {
  connecting: "Connecting…",
  connected: "Connected",
  ended: "Ended",
  "no-link": "No link",
};

/** The heading over the reason. */
export function headingOf(status: Status): string {
  if (status.state === "no-link") return status.example ? "A console link is needed" : "Please open the link again";
  if (status.state === "ended") return status.began ? "The console has ended" : "Not connected";
  return STATE_LABEL[status.state];
}

const INVALID_LINK =
  "This link is not valid any more: it is wrong, has expired, or its server was restarted. Ask for a new link.";
const LOST = "The connection was lost.";
const UNREACHABLE = "The connection could not be opened. Check your network and try again.";
const CLOSED = "The console was closed.";

/** Codes that say only that a connection closed (RFC 6455 §7.4.1): done, going away, no code given. */
const PLAIN_CLOSE: readonly number[] = [1000, 1001, 1005];
const NO_CODE = 1005;
const NO_CLOSE_FRAME = 1006;

/**
 * Why the screen's WebSocket closed, for a person. `opened`: the upgrade had succeeded; `bytes`: any data had come.
 * The edge refuses a token with a close frame that has no payload, so that raw clients read no stray bytes.
 */
export function endingOf(close: { code: number; reason: string; opened: boolean; bytes: boolean }): Ending {
  const known: Record<number, string> = CONSOLE_REASON;
  const text = close.reason.trim() || known[close.code];
  if (text) return { reason: text, retry: true };
  if (close.code === NO_CODE && !close.bytes) return { reason: INVALID_LINK, retry: false };
  if (close.code === NO_CLOSE_FRAME) return { reason: close.opened ? LOST : UNREACHABLE, retry: true };
  if (PLAIN_CLOSE.includes(close.code)) return { reason: CLOSED, retry: true };
  return { reason: `${LOST} (Code ${close.code}.)`, retry: true };
}

/** Endings that the viewer finds itself, after the socket was open. */
export const ENDINGS = {
  /** The page lets no one type a password: the edge answers for the screen, and the link is the key to it. */
  credentials: {
    reason: "The screen asks for a password, which a console link never needs. Tell the cloud's operator.",
    retry: true,
  },
  unverified: {
    reason: "The screen asks to be verified, which a console link never needs. Tell the cloud's operator.",
    retry: true,
  },
  garbled: { reason: "The screen sent something that this viewer does not understand.", retry: true },
  unloadable: {
    reason: "This browser could not start the viewer. Open the link in another browser.",
    // A module that failed to load stays failed for as long as the page lives.
    retry: false,
  },
} as const satisfies Record<string, Ending>;

/** The VNC handshake was refused; `detail` is the VNC server's own text. */
export function refused(detail: string | undefined): Ending {
  return { reason: `The screen refused the connection${detail ? `: ${detail}` : "."}`, retry: true };
}

/** No token in the address. `reopened`: this tab had one, and took it out of the address bar. */
export function noLink(reopened: boolean): Status {
  const reason = reopened
    ? "For your safety the link's token is not kept in the address bar, so this page cannot be reloaded. Open the console link once more, or ask for a new one."
    : "This address has no token, so it opens no screen. A console link looks like this:";
  return { state: "no-link", reason, example: !reopened };
}
