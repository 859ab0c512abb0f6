/**
 * The wire between an agent and its edge: passes HTTP and WebSockets on, and on order holds, loses, doubles, swaps or
 * cuts what goes over it. Each thing that passes has a label: `call spawn` and `ack spawn` go down to the agent,
 * `result spawn`, `hello`, `report`, `inventory` and `GET image`, `PUT file` … go up to the edge.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { freePort } from "../free-port.ts";

/** A close code that says that the peer said none (RFC 6455 §7.1.5): not to be sent. */
const UNSENDABLE: ReadonlySet<number> = new Set([1005, 1006, 1015]);

export type Way = "down" | "up";
/** What becomes of one frame; a late one goes `ms` later, behind what comes after it. */
export type Fate = "pass" | "drop" | { again: number } | { late: number };
export type Fates = (label: string, way: Way) => Fate;
export type Hold = { reached: Promise<void>; release(): void };

type Held = { label: string; reach(): void; free: Promise<void> };

export class Wire {
  /** Decides over each frame of the control link. */
  fates: Fates = () => "pass";
  readonly #server: Server;
  readonly #edge: () => number;
  readonly #accept = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #sockets = new Set<Socket>();
  /** The methods of calls, by id: a result and an ack name no method. */
  readonly #methods = new Map<string, string>();
  readonly #held: Held[] = [];
  /** Bodies on their way. */
  readonly #bodies = new Set<IncomingMessage>();
  /** How many bytes of streams have passed, both ways. */
  #passed = 0;
  readonly #marks = new Set<{ at: number; reach(): void }>();
  #cut: "reset" | "silent" | null = null;

  /** `edge`: the edge's port. */
  static async start(edge: () => number): Promise<Wire> {
    const port = await freePort();
    const wire = new Wire(edge);
    await new Promise<void>((resolve) => wire.#server.listen(port, "127.0.0.1", resolve));
    return wire;
  }

  private constructor(edge: () => number) {
    this.#edge = edge;
    this.#server = createServer((asked, answer) => void this.#http(asked, answer));
    this.#server.on("connection", (socket) => {
      if (this.#cut === "reset") socket.destroy();
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => undefined);
    });
    this.#server.on("upgrade", (asked, socket, head) => this.#upgrade(asked, socket, head));
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  }

  /** The next thing of this label waits, with all that comes behind it on its way, until it is released or its link ends. */
  hold(label: string): Hold {
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: free, resolve: release } = Promise.withResolvers<void>();
    const held = { label, reach, free };
    this.#held.push(held);
    return {
      reached,
      release: () => {
        const at = this.#held.indexOf(held);
        if (at >= 0) this.#held.splice(at, 1);
        release();
      },
    };
  }

  /** Resolves as soon as so many bytes of streams, such as two hosts have between them, have passed from now on. */
  passes(bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#marks.add({ at: this.#passed + bytes, reach: resolve });
    return promise;
  }

  get passed(): number {
    return this.#passed;
  }

  /** From now on nothing passes. `silent`: nobody is told, as by a line that is pulled; else connections break. */
  cut(how: "reset" | "silent"): void {
    this.#cut = how;
    if (how === "reset") this.#break();
    else for (const body of this.#bodies) body.unpipe();
  }

  /** Everything passes again; what was open while it did not is broken. */
  mend(): void {
    if (this.#cut === null) return;
    this.#cut = null;
    this.#break();
  }

  async close(): Promise<void> {
    this.#break();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #break(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Resolves when the thing may go on. */
  async #gate(label: string): Promise<void> {
    const at = this.#held.findIndex((held) => held.label === label);
    const [held] = at < 0 ? [] : this.#held.splice(at, 1);
    held?.reach();
    await held?.free;
  }

  async #http(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    if (this.#cut !== null) return;
    await this.#gate(`${asked.method} ${asked.url?.includes("/file") ? "file" : "image"}`);
    const { method, url, headers } = asked;
    const onward = request({ host: "127.0.0.1", port: this.#edge(), method, path: url, headers }, (got) => {
      if (this.#cut !== null) return;
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.on("error", () => asked.socket.destroy());
      this.#flow(got, answer);
    });
    onward.on("error", () => asked.socket.destroy());
    answer.on("close", () => onward.destroy());
    this.#flow(asked, onward);
  }

  #flow(body: IncomingMessage, to: Writable): void {
    this.#bodies.add(body);
    body.on("close", () => this.#bodies.delete(body));
    body.pipe(to).on("error", () => undefined);
  }

  #upgrade(asked: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.#cut !== null) return;
    const { authorization = "" } = asked.headers;
    const offered = asked.headers["sec-websocket-protocol"]?.split(/,\s*/) ?? [];
    const edge = new WebSocket(`ws://127.0.0.1:${this.#edge()}${asked.url}`, offered, {
      headers: { authorization },
      perMessageDeflate: false,
    });
    socket.on("close", () => edge.terminate());
    edge.on("error", () => socket.destroy());
    edge.on("unexpected-response", (_, got) => refuse(socket, got));
    edge.on("open", () => {
      edge.pause();
      this.#accept.handleUpgrade(asked, socket, head, (agent) => {
        this.#pass(edge, agent, "down");
        this.#pass(agent, edge, "up");
        edge.resume();
      });
    });
  }

  #pass(from: WebSocket, to: WebSocket, way: Way): void {
    let turn: Promise<void> = Promise.resolve();
    from.on("message", (data: Buffer, isBinary: boolean) => {
      const text = isBinary ? "" : String(data);
      const label = this.#label(text);
      if (isBinary) this.#count(data.length);
      turn = turn.then(async () => {
        await this.#gate(label);
        if (this.#cut === null) deal(() => send(to, isBinary ? data : text), this.fates(label, way));
      });
    });
    from.on("error", () => undefined);
    from.on("close", (code: number, reason: Buffer) => {
      if (UNSENDABLE.has(code)) to.terminate();
      else to.close(code, reason);
    });
  }

  #count(bytes: number): void {
    this.#passed += bytes;
    for (const mark of this.#marks) {
      if (mark.at > this.#passed) continue;
      mark.reach();
      this.#marks.delete(mark);
    }
  }

  #label(text: string): string {
    if (!text.startsWith("{")) return text === "" ? "bytes" : text;
    const { t, id, method, call } = JSON.parse(text);
    if (t === "call") this.#methods.set(id, method);
    return [t, this.#methods.get(id ?? call)].filter(Boolean).join(" ");
  }
}

function deal(go: () => void, fate: Fate): void {
  if (fate === "drop") return;
  if (fate === "pass" || "again" in fate) go();
  if (fate !== "pass") setTimeout(go, "again" in fate ? fate.again : fate.late);
}

function send(to: WebSocket, data: Buffer | string): void {
  if (to.readyState === WebSocket.OPEN) to.send(data);
}

/** The edge's refusal of an upgrade, as the agent would have read it. */
function refuse(socket: Duplex, got: IncomingMessage): void {
  const head = Object.entries(got.headers).flatMap(([name, value]) =>
    name === "transfer-encoding" || value === undefined ? [] : [`${name}: ${[value].flat().join(", ")}`],
  );
  socket.write(`HTTP/1.1 ${got.statusCode} Refused\r\n${head.join("\r\n")}\r\nconnection: close\r\n\r\n`);
  got.pipe(socket);
}
