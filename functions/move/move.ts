/**
 * One move's pipe: joins the two ends of each of its streams natively, as consoles are (console/splice.ts), so that the
 * runtime pumps between the hosts with backpressure. It stores nothing while the move lasts: whoever comes has a ticket,
 * and a half that waits lives as long as the object's memory, as its socket does.
 *
 *   open --the migration has ended--> over: nobody is let in --a while later--> cut: nothing goes on
 *                                                      nothing stored <--the tickets have expired--|
 */
import { DurableObject } from "cloudflare:workers";
import { Halves } from "../console/halves.ts";
import { MOVE_CLOSE } from "../protocol/move.ts";
import { MOVE_LIFE_SECONDS } from "./peers.ts";
import { MOVE_SIDE_HEADER, MOVE_STREAM_HEADER } from "./sides.ts";

const ALONE = { code: MOVE_CLOSE.ALONE, reason: "The other host did not come." };
const AGAIN = { code: MOVE_CLOSE.OVER, reason: "This end has dialled again." };
const OVER = { code: MOVE_CLOSE.OVER, reason: "The move is over." };
const KEY = "state";
/** How long ends have to let go by themselves: of what is cut the runtime tells as of a failure. */
const CUT_MS = 120_000;

export class Move extends DurableObject<Env> {
  readonly #halves = new Halves();
  /** Whether two ends have been joined, which this object cannot let go one by one. */
  #joined = false;

  /** The upgrade of one end of a stream; 410 once the move is over. */
  override fetch(request: Request): Response {
    if (this.ctx.storage.kv.get(KEY) !== undefined) return new Response(null, { status: 410 });
    const stream = request.headers.get(MOVE_STREAM_HEADER);
    const [side, other] =
      request.headers.get(MOVE_SIDE_HEADER) === "source" ? ["source", "destination"] : ["destination", "source"];
    const waiting = this.#halves.take(`${stream}:${other}`);
    if (waiting) {
      this.#joined = true;
      return new Response(null, { status: 101, webSocket: waiting });
    }
    const { 0: near, 1: far } = new WebSocketPair();
    // What waited is a connection that this end has given up.
    this.#halves.end(`${stream}:${side}`, AGAIN);
    this.#halves.wait(`${stream}:${side}`, far, ALONE);
    return new Response(null, { status: 101, webSocket: near });
  }

  /** Its migration has ended: there will be no other streams, and those that there are end before long. */
  async end(): Promise<void> {
    const { storage } = this.ctx;
    if (storage.kv.get(KEY) !== undefined) return;
    storage.kv.put(KEY, "over");
    await storage.setAlarm(Date.now() + CUT_MS);
    this.#halves.endAll(OVER);
  }

  override async alarm(): Promise<void> {
    const { storage } = this.ctx;
    if (storage.kv.get(KEY) === "cut") return storage.deleteAll();
    storage.kv.put(KEY, "cut");
    await storage.setAlarm(Date.now() + MOVE_LIFE_SECONDS * 1000);
    // It stays in memory for streams alone.
    if (!this.#joined) return;
    await storage.sync();
    setTimeout(() => this.ctx.abort(OVER.reason), 0);
  }
}
