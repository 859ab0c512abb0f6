/**
 * What is said to a viewer page and heard from it beside RFB (functions/protocol/console-presence.ts). At most one text
 * is on its way at a time: to a page that stalls goes the newest of each kind when it reads on, and nothing piles up.
 */
import {
  type FromPage,
  fromPage,
  MAX_PAGE_TEXT_BYTES,
  type ToPage,
} from "../../functions/protocol/console-presence.ts";
import { RfbError } from "../rfb/rfb-error.ts";
import type { Order } from "./sharing.ts";

/** Between two orders of one kind, ms: each may be told to everybody on the screen. */
const SPACING_MS: Record<Order["t"], number> = { ask: 1000, give: 200, take: 200, drop: 200 };
const KNOWN: ReadonlySet<unknown> = new Set(["ping", ...Object.keys(SPACING_MS)]);

/** Sends a text; calls `done` when it has left. */
type Send = (text: string, done: () => void) => void;

export class PageText {
  readonly #onOrder: (order: Order) => void;
  readonly #now: () => number;
  readonly #ordered = new Map<Order["t"], number>();
  /** The newest of each kind that is to be told. */
  readonly #waiting = new Map<string, ToPage>();
  #send: Send | null = null;
  #held = false;
  #busy = false;

  /** `now` in ms, from any moment on. */
  constructor(onOrder: (order: Order) => void, now = () => performance.now()) {
    this.#onOrder = onOrder;
    this.#now = now;
  }

  /** The page is there: it is told what waits, and from now on whatever there is. */
  open(send: Send): void {
    this.#send = send;
    this.#next();
  }

  /** Whether nothing may be sent for now. */
  hold(held: boolean): void {
    this.#held = held;
    this.#next();
  }

  tell(what: ToPage): void {
    this.#waiting.set(what.t === "asked" ? `asked ${what.by}` : what.t, what);
    this.#next();
  }

  /** One text of the page. Throws RfbError when no page says such a thing. */
  hear(bytes: Buffer): void {
    const said = readPage(bytes);
    if (said?.t === "ping") this.tell({ t: "pong", at: said.at });
    else if (said !== null) this.#order(said);
  }

  #order(order: Order): void {
    const now = this.#now();
    const last = this.#ordered.get(order.t);
    if (last !== undefined && now - last < SPACING_MS[order.t]) return;
    this.#ordered.set(order.t, now);
    this.#onOrder(order);
  }

  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined || this.#send === null || this.#held || this.#busy) return;
    this.#waiting.delete(first[0]);
    this.#busy = true;
    this.#send(JSON.stringify(first[1]), () => {
      this.#busy = false;
      this.#next();
    });
  }
}

/** What a page said; null when it is of a kind that is not known here. Throws RfbError when it is none of a page. */
export function readPage(bytes: Buffer): FromPage | null {
  if (bytes.length > MAX_PAGE_TEXT_BYTES) throw new RfbError(`a text of ${bytes.length} bytes is too long`);
  const value = json(bytes.toString());
  if (typeof value !== "object" || value === null || !("t" in value)) throw new RfbError("a text that says nothing");
  if (!KNOWN.has(value.t)) return null;
  const parsed = fromPage.safeParse(value);
  if (!parsed.success) throw new RfbError(`a text with a wrong ${parsed.error.issues[0]?.path.join(".") ?? "field"}`);
  return parsed.data;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new RfbError("a text that is not JSON");
  }
}
