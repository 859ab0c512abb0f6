/** One connection to a screen: from the WebSocket to the single reason for its end. */
import type RFB from "@novnc/novnc";
import { ENDINGS, type Ending, endingOf, refused } from "./status.ts";

/** For noVNC's own start, which takes about 0.1 s: a browser whose video decoder hangs must not hang the page. */
const LOAD_MS = 10_000;

export type SessionEvents = {
  connected(rfb: RFB): void;
  /** The VNC server's name for the screen. */
  named(name: string): void;
  /** Called exactly once. */
  ended(ending: Ending): void;
};

/**
 * Connects `target` to the screen behind `wsUrl`. noVNC keeps the close code to itself, so the socket is opened here
 * and lent to it. noVNC is loaded late because it awaits a decoder probe at its top level: the token must be out of
 * the address bar, and a failure must have words, before that.
 */
export async function openSession(target: HTMLElement, wsUrl: string, events: SessionEvents): Promise<void> {
  let over = false;
  const end = (ending: Ending): void => {
    // The first cause is the true one: what follows (noVNC hanging up, the socket closing) is its echo.
    if (over) return;
    over = true;
    events.ended(ending);
  };

  const rfb = await attach(target, wsUrl, end).catch(() => null);
  if (rfb === null) return end(ENDINGS.unloadable);
  rfb.background = "transparent";
  rfb.addEventListener("connect", () => events.connected(rfb));
  rfb.addEventListener("desktopname", (event) => events.named(event.detail.name));
  rfb.addEventListener("securityfailure", (event) => end(refused(event.detail.reason)));
  rfb.addEventListener("disconnect", () => end(ENDINGS.garbled));
  rfb.addEventListener("credentialsrequired", () => {
    end(ENDINGS.credentials);
    rfb.disconnect();
  });
  rfb.addEventListener("serververification", () => {
    end(ENDINGS.unverified);
    rfb.disconnect();
  });
}

/** Fails when the browser lacks what noVNC needs. */
async function attach(target: HTMLElement, wsUrl: string, end: (ending: Ending) => void): Promise<RFB> {
  const late = new Promise<never>((_done, fail) => setTimeout(fail, LOAD_MS));
  const { default: Rfb } = await Promise.race([import("@novnc/novnc"), late]);
  return new Rfb(target, openSocket(wsUrl, end), { shared: true });
}

/** The listeners go on before noVNC's, which runs on the same events: the close code is read before it hangs up. */
function openSocket(wsUrl: string, end: (ending: Ending) => void): WebSocket {
  const socket = new WebSocket(wsUrl);
  let opened = false;
  let bytes = false;
  socket.addEventListener("open", () => {
    opened = true;
  });
  socket.addEventListener(
    "message",
    () => {
      bytes = true;
    },
    { once: true },
  );
  socket.addEventListener("close", ({ code, reason }) => end(endingOf({ code, reason, opened, bytes })));
  return socket;
}
