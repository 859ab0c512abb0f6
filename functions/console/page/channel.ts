/**
 * The screen's WebSocket as noVNC wants it. Two things go over the one socket: RFB in binary frames, which noVNC gets,
 * and words between page and agent in text frames, which it would take for RFB.
 */

export type Closed = { code: number; reason: string };

export type ChannelEvents = {
  /** Anything came: the path is alive. */
  heard(): void;
  text(frame: string): void;
  /** Called exactly once, before noVNC hears of it and takes its picture away. */
  closed(how: Closed): void;
};

type Listener<E> = ((event: E) => void) | null;

/** What a browser reports for a socket that went away without a close frame (RFC 6455 §7.4.1). */
const NO_CLOSE_FRAME = 1006;

/** The properties are the ones that noVNC looks for (`rawChannelProps` in its core/websock.js). */
export class Channel {
  onopen: Listener<Event> = null;
  onmessage: Listener<MessageEvent> = null;
  onerror: Listener<Event> = null;
  onclose: Listener<Closed> = null;
  binaryType = "arraybuffer";
  readonly protocol = "";
  readonly #socket: WebSocket;
  readonly #events: ChannelEvents;
  #over = false;

  constructor(url: string, events: ChannelEvents) {
    this.#events = events;
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("open", (event) => this.onopen?.(event));
    this.#socket.addEventListener("error", (event) => this.onerror?.(event));
    this.#socket.addEventListener("close", ({ code, reason }) => this.#end({ code, reason }));
    this.#socket.addEventListener("message", (event) => this.#take(event));
  }

  get readyState(): number {
    return this.#over ? WebSocket.CLOSED : this.#socket.readyState;
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    if (this.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  sendText(frame: string): void {
    if (this.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  /** noVNC's own way to hang up. */
  close(): void {
    this.#socket.close();
  }

  /** Ends now. A close handshake on a dead path would take the browser a minute, and the person would wait for it. */
  abandon(): void {
    this.#socket.close();
    this.#end({ code: NO_CLOSE_FRAME, reason: "" });
  }

  #take(event: MessageEvent): void {
    if (this.#over) return;
    this.#events.heard();
    if (typeof event.data === "string") this.#events.text(event.data);
    else this.onmessage?.(event);
  }

  #end(how: Closed): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.closed(how);
    this.onclose?.(how);
  }
}
