/**
 * One move's pipe: joins the two ends of each of its streams natively, as consoles are (console/splice.ts), so that the
 * runtime pumps between the hosts with backpressure. It stores nothing: whoever comes has a ticket, and a half that waits
 * lives as long as the object's memory, as its socket does.
 */
import { DurableObject } from "cloudflare:workers";
import { MOVE_CLOSE } from "../protocol/move.ts";
import { MOVE_SIDE_HEADER, MOVE_STREAM_HEADER } from "./sides.ts";
import type { MoveTicket } from "./ticket.ts";

/** How long an end waits for the other. */
export const JOIN_TIMEOUT_MS = 15_000;

type Side = MoveTicket["side"];
type Half = { side: Side; far: WebSocket; deadline: ReturnType<typeof setTimeout> };

export class Move extends DurableObject<Env> {
  readonly #halves = new Map<number, Half>();

  /** The upgrade of one end of a stream. */
  override fetch(request: Request): Response {
    const stream = Number(request.headers.get(MOVE_STREAM_HEADER));
    const side = request.headers.get(MOVE_SIDE_HEADER) === "source" ? "source" : "destination";
    const half = this.#take(stream);
    if (half && half.side !== side) return new Response(null, { status: 101, webSocket: half.far });
    // Its end has dialled again: what waited is a connection that it has given up.
    if (half) end(half.far, MOVE_CLOSE.OVER, "This end has dialled again.");
    const { 0: near, 1: far } = new WebSocketPair();
    const deadline = setTimeout(() => {
      this.#halves.delete(stream);
      end(far, MOVE_CLOSE.ALONE, "The other host did not come.");
    }, JOIN_TIMEOUT_MS);
    this.#halves.set(stream, { side, far, deadline });
    return new Response(null, { status: 101, webSocket: near });
  }

  #take(stream: number): Half | undefined {
    const half = this.#halves.get(stream);
    clearTimeout(half?.deadline);
    this.#halves.delete(stream);
    return half;
  }
}

function end(far: WebSocket, code: number, reason: string): void {
  far.accept();
  far.close(code, reason);
}
