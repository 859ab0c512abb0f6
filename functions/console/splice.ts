/**
 * Joining a browser and an agent. Each side gets, in its own 101 answer, one end of a WebSocketPair:
 *
 *   native   browser == near | far == agent          one pair; the runtime pumps, with backpressure, no JavaScript per frame
 *   relay    browser == near | far -> js -> far' | near' == agent      two pairs, both read here, bounded
 */
import { CONSOLE_CLOSE, CONSOLE_REASON, GO, HOLD } from "../protocol/console.ts";

export type Splice = "native" | "relay";

/** A relay whose reader has this much unread is ended: without a bound it would fill the isolate's memory. */
export const RELAY_MAX_BUFFERED_BYTES = 8 * 1024 * 1024;
/** From here on the agent is asked to hold, and below this to go on: far enough apart not to flutter. */
const RELAY_HOLD_BYTES = 1024 * 1024;
const RELAY_GO_BYTES = 256 * 1024;
/** How often a held relay looks whether its reader has caught up: there is no event for it. */
const RELAY_POLL_MS = 10;

/** The end that answers the agent's upgrade, given the far end of the browser's pair. */
export function joinAgent(splice: Splice, far: WebSocket): WebSocket {
  if (splice === "native") return far;
  const { 0: near, 1: other } = new WebSocketPair();
  for (const ws of [far, other]) {
    ws.binaryType = "arraybuffer";
    ws.accept();
  }
  relay(far, other);
  relay(other, far);
  holdWhenSlow(other, far);
  return near;
}

/** Keeps what waits for `browser` small by asking `agent` to hold: a relay has no backpressure of its own. */
function holdWhenSlow(agent: WebSocket, browser: WebSocket): void {
  let held = false;
  const look = () => {
    if (agent.readyState !== WebSocket.READY_STATE_OPEN) return;
    if (browser.bufferedAmount > RELAY_GO_BYTES) {
      setTimeout(look, RELAY_POLL_MS);
      return;
    }
    held = false;
    agent.send(GO);
  };
  agent.addEventListener("message", () => {
    if (held || browser.bufferedAmount <= RELAY_HOLD_BYTES) return;
    held = true;
    agent.send(HOLD);
    setTimeout(look, RELAY_POLL_MS);
  });
}

function relay(from: WebSocket, to: WebSocket): void {
  from.addEventListener("message", ({ data }) => {
    if (to.readyState !== WebSocket.READY_STATE_OPEN) return;
    to.send(data);
    if (to.bufferedAmount > RELAY_MAX_BUFFERED_BYTES) {
      from.close(CONSOLE_CLOSE.TOO_SLOW, CONSOLE_REASON[CONSOLE_CLOSE.TOO_SLOW]);
      to.close(CONSOLE_CLOSE.TOO_SLOW, CONSOLE_REASON[CONSOLE_CLOSE.TOO_SLOW]);
    }
  });
  from.addEventListener("close", ({ code, reason }) => {
    if (to.readyState !== WebSocket.READY_STATE_OPEN) return;
    // 1005, 1006 and 1015 say what a peer did not send (RFC 6455 §7.4.1); they must not be sent.
    if (code === 1005 || code === 1006 || code === 1015) to.close();
    else to.close(code, reason);
  });
  from.addEventListener("error", () => to.close());
}
