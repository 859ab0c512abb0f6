/**
 * One move's pipe: joins the two ends of each of its streams natively, as consoles are (console/splice.ts), so that the
 * runtime pumps between the hosts with backpressure. It stores nothing: whoever comes has a ticket, and a half that waits
 * lives as long as the object's memory, as its socket does.
 */
import { DurableObject } from "cloudflare:workers";
import { Halves } from "../console/halves.ts";
import { MOVE_CLOSE } from "../protocol/move.ts";
import { MOVE_SIDE_HEADER, MOVE_STREAM_HEADER } from "./sides.ts";

const ALONE = { code: MOVE_CLOSE.ALONE, reason: "The other host did not come." };
const AGAIN = { code: MOVE_CLOSE.OVER, reason: "This end has dialled again." };

export class Move extends DurableObject<Env> {
  readonly #halves = new Halves();

  /** The upgrade of one end of a stream. */
  override fetch(request: Request): Response {
    const stream = request.headers.get(MOVE_STREAM_HEADER);
    const [side, other] =
      request.headers.get(MOVE_SIDE_HEADER) === "source" ? ["source", "destination"] : ["destination", "source"];
    const waiting = this.#halves.take(`${stream}:${other}`);
    if (waiting) return new Response(null, { status: 101, webSocket: waiting });
    const { 0: near, 1: far } = new WebSocketPair();
    // What waited is a connection that this end has given up.
    this.#halves.end(`${stream}:${side}`, AGAIN);
    this.#halves.wait(`${stream}:${side}`, far, ALONE);
    return new Response(null, { status: 101, webSocket: near });
  }
}
