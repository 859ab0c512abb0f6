/** An edge that does what a test tells it, on loopback, and remembers what agents said. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { FromAgent, ToAgent } from "../../functions/protocol/frames.ts";

export type AgentLink = {
  socket: WebSocket;
  authorization: string;
  frames: FromAgent[];
  pings: number;
  closed?: number;
};
export type AgentConsole = {
  socket: WebSocket;
  path: string;
  authorization: string;
  messages: Buffer[];
  /** Text frames. */
  texts: string[];
  closed?: [number, string];
};
export type Answer = { status: number; body?: unknown; headers?: Record<string, string> };

export class ScriptedEdge {
  readonly links: AgentLink[] = [];
  readonly consoles: AgentConsole[] = [];
  readonly enrolments: { join_token: string; host: string; public_key: unknown }[] = [];
  readonly imageRequests: string[] = [];
  /** Answers instead of taking an upgrade. */
  refuse: Answer | null = null;
  enrolAnswer: (host: string) => Answer = (host) => ({ status: 201, body: { host } });
  image: (id: string, response: ServerResponse) => void = (_id, response) => void response.writeHead(404).end();
  onFrame: (link: AgentLink, frame: FromAgent) => void = (link, frame) => {
    if (frame.t === "hello") this.tell(link, { t: "welcome", version: 1, report_interval: 0.1 });
  };
  pong = true;
  port = 0;
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));
  readonly #upgrades = new WebSocketServer({ noServer: true });

  async start(port = 0): Promise<this> {
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const { socket } of [...this.links, ...this.consoles]) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  tell(link: AgentLink, frame: ToAgent): void {
    link.socket.send(JSON.stringify(frame));
  }

  results(): Extract<FromAgent, { t: "result" }>[] {
    return this.links.flatMap((link) => link.frames).filter((frame) => frame.t === "result");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    if (path.startsWith("/agent/v1/images/")) {
      const id = path.slice("/agent/v1/images/".length);
      this.imageRequests.push(id);
      return this.image(id, response);
    }
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const body = JSON.parse(text);
    this.enrolments.push(body);
    const { status, body: answer, headers } = this.enrolAnswer(body.host);
    response.writeHead(status, headers).end(JSON.stringify(answer));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.refuse !== null) {
      const { status, body, headers } = this.refuse;
      const text = JSON.stringify(body ?? {});
      const lines = Object.entries({ "content-length": String(text.length), ...headers }).map(
        ([k, v]) => `${k}: ${v}\r\n`,
      );
      socket.end(`HTTP/1.1 ${status} No\r\n${lines.join("")}connection: close\r\n\r\n${text}`);
      return;
    }
    const path = request.url ?? "";
    const authorization = request.headers.authorization ?? "";
    this.#upgrades.handleUpgrade(request, socket, head, (ws) => {
      if (path === "/agent/v1/link") this.#link(ws, authorization);
      else this.#console(ws, path, authorization);
    });
  }

  #link(socket: WebSocket, authorization: string): void {
    const link: AgentLink = { socket, authorization, frames: [], pings: 0 };
    this.links.push(link);
    socket.on("message", (data) => {
      const text = String(data);
      if (text === "ping") {
        link.pings += 1;
        if (this.pong) socket.send("pong");
        return;
      }
      const frame: FromAgent = JSON.parse(text);
      link.frames.push(frame);
      this.onFrame(link, frame);
    });
    socket.on("close", (code) => {
      link.closed = code;
    });
  }

  #console(socket: WebSocket, path: string, authorization: string): void {
    const console: AgentConsole = { socket, path, authorization, messages: [], texts: [] };
    this.consoles.push(console);
    socket.on("message", (data, isBinary) => {
      if (isBinary) console.messages.push(data as Buffer);
      else console.texts.push(String(data));
    });
    socket.on("close", (code, reason) => {
      console.closed = [code, String(reason)];
    });
  }
}
