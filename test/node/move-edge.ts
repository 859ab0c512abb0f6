/** The edge's pipe as a test wants it: joins the ends of streams, sees what goes through, and cuts it where it is told. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import type { MoveSide } from "../../functions/protocol/move.ts";

type Half = { side: MoveSide; ws: WebSocket };

export class MoveEdge {
  /** Bearers that are let in, and of which side. */
  readonly tickets = new Map<string, MoveSide>();
  /** All that went through, as it was on the wire. */
  readonly seen: Buffer[] = [];
  bytes = 0;
  /** How many ends have come. */
  dials = 0;
  /** Cuts everything when so many more bytes have gone through, once. */
  cutAfter = Number.POSITIVE_INFINITY;
  /** Changes what goes through. */
  tamper: (bytes: Buffer) => Buffer = (bytes) => bytes;
  keep = false;
  readonly #halves = new Map<string, Half>();
  readonly #all = new Set<WebSocket>();
  readonly #server: Server = createServer((_, response) => void response.writeHead(404).end());
  readonly #upgrades = new WebSocketServer({ noServer: true });

  async start(): Promise<this> {
    this.#server.on("upgrade", (request, socket, head) => {
      const side = this.tickets.get((request.headers.authorization ?? "").replace("Bearer ", ""));
      if (side === undefined) return void socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
      this.#upgrades.handleUpgrade(request, socket, head, (ws) => this.#join(request.url ?? "", { side, ws }));
    });
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many connections there are. */
  get open(): number {
    return this.#all.size;
  }

  /** Ends every connection, as an edge that is killed does. */
  cut(): void {
    for (const ws of this.#all) ws.terminate();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(path: string, half: Half): void {
    this.dials += 1;
    this.#all.add(half.ws);
    half.ws.on("error", () => undefined);
    half.ws.once("close", () => {
      this.#all.delete(half.ws);
      if (this.#halves.get(path) === half) this.#halves.delete(path);
    });
    const waiting = this.#halves.get(path);
    if (waiting === undefined || waiting.side === half.side) {
      waiting?.ws.close(4403);
      half.ws.pause();
      this.#halves.set(path, half);
      return;
    }
    this.#halves.delete(path);
    this.#pump(waiting.ws, half.ws);
    this.#pump(half.ws, waiting.ws);
    waiting.ws.resume();
  }

  #pump(from: WebSocket, to: WebSocket): void {
    from.on("message", (data: Buffer) => {
      this.bytes += data.length;
      if (this.keep) this.seen.push(data);
      this.cutAfter -= data.length;
      if (this.cutAfter < 0) {
        this.cutAfter = Number.POSITIVE_INFINITY;
        return this.cut();
      }
      from.pause();
      to.send(this.tamper(data), () => from.resume());
    });
    from.once("close", (code) => {
      if (code === 1006 || code === 1005) to.terminate();
      else to.close(code);
    });
  }
}
