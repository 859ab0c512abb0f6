/** The control socket of one host: hibernates with its attachment, and serves while heartbeats come on it. */
import { CAPABILITY, CLOSE, encode, PING, PONG, type ToAgent } from "../protocol/frames.ts";
import type { Metrics } from "../protocol/resources.ts";

/** Survives hibernation with the socket. `ready` once hello was answered; `can` is what that said the agent can do. */
type Attachment = { linked_at: number; ready: boolean; can?: readonly string[]; metrics?: Metrics };

/** An attachment is small: names that mean nothing here are not kept. */
const KNOWN = Object.values(CAPABILITY);

export class Link {
  readonly #ctx: DurableObjectState;
  readonly #downAfterMs: number;

  /** @param downAfterMs without a heartbeat for this long (nova: service_down_time) the link counts as gone */
  constructor(ctx: DurableObjectState, downAfterMs: number) {
    this.#ctx = ctx;
    this.#downAfterMs = downAfterMs;
    // Heartbeats are answered by the runtime and wake nobody.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Answers the agent's upgrade. A newer socket replaces the old ones. */
  accept(): Response {
    this.close(CLOSE.REPLACED, "another link of this host came");
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server);
    server.serializeAttachment({ linked_at: Date.now(), ready: false } satisfies Attachment);
    return new Response(null, { status: 101, webSocket: client });
  }

  close(code: number, reason: string): void {
    for (const ws of this.#ctx.getWebSockets()) ws.close(code, reason);
  }

  /** From now on the socket carries calls. */
  makeReady(ws: WebSocket, capabilities: readonly string[]): void {
    const can = KNOWN.filter((capability) => capabilities.includes(capability));
    ws.serializeAttachment({ linked_at: Date.now(), ready: true, can } satisfies Attachment);
  }

  can(ws: WebSocket, capability: (typeof KNOWN)[number]): boolean {
    return attachmentOf(ws)?.can?.includes(capability) ?? false;
  }

  isReady(ws: WebSocket): boolean {
    return attachmentOf(ws)?.ready ?? false;
  }

  /** The socket to the agent; null when there is none, or no heartbeat came on it in time. */
  current(): WebSocket | null {
    for (const ws of this.#ctx.getWebSockets()) {
      if (ws.readyState !== WebSocket.READY_STATE_OPEN) continue;
      const seen = this.seenOn(ws);
      if (seen !== null && Date.now() - seen <= this.#downAfterMs) return ws;
    }
    return null;
  }

  /** The last sign of life on a socket that carried calls, Unix ms; null for one that never did. */
  seenOn(ws: WebSocket): number | null {
    const attachment = attachmentOf(ws);
    if (!attachment?.ready) return null;
    return Math.max(attachment.linked_at, this.#ctx.getWebSocketAutoResponseTimestamp(ws)?.getTime() ?? 0);
  }

  /** The last sign of life on any socket that is there. */
  seenAt(): number | null {
    const seen = this.#ctx.getWebSockets().flatMap((ws) => this.seenOn(ws) ?? []);
    return seen.length === 0 ? null : Math.max(...seen);
  }

  /** Keeps what the host's monitors measured for as long as the link lasts: it is never written to storage. */
  keepMetrics(ws: WebSocket, metrics: Metrics | undefined): void {
    const attachment = attachmentOf(ws);
    if (attachment === null) return;
    const { metrics: _, ...rest } = attachment;
    ws.serializeAttachment({ ...rest, ...(metrics ? { metrics } : {}) } satisfies Attachment);
  }

  /** What was kept last, on a link that is ready; undefined when nothing is measured. */
  metrics(): Metrics | undefined {
    return this.#ctx
      .getWebSockets()
      .map(attachmentOf)
      .find((attachment) => attachment?.ready)?.metrics;
  }

  /** Whether the host still has a socket when `gone` has ended: an old one's end must not take the new one down. */
  remainsWithout(gone: WebSocket): boolean {
    const open = (ws: WebSocket) => ws.readyState === WebSocket.READY_STATE_OPEN && this.isReady(ws);
    return this.#ctx.getWebSockets().some((ws) => ws !== gone && open(ws));
  }
}

/** Sends a frame. One to a socket that has closed meanwhile is lost, as any may be: the next hello heals it. */
export function send(ws: WebSocket, frame: ToAgent): void {
  if (ws.readyState === WebSocket.READY_STATE_OPEN) ws.send(encode(frame));
}

function attachmentOf(ws: WebSocket): Attachment | null {
  return ws.deserializeAttachment() as Attachment | null;
}
