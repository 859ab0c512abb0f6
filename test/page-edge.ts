/**
 * An edge for tests of the viewer page alone: it serves the page, keeps one session, speaks the contract of
 * `console-session.ts` and `console-presence.ts`, and has a fake guest's screen behind it. A test says what goes wrong.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type WebSocket, WebSocketServer } from "ws";
import { clockFrom } from "../agent/drivers/fake/guest-clock.ts";
import { RfbServer } from "../agent/drivers/fake/rfb-server.ts";
import { Screen } from "../agent/drivers/fake/screen.ts";
import { viewer } from "../functions/console/build.ts";
import type { FromPage, Person, ToPage } from "../functions/protocol/console-presence.ts";
import type { OpenedSession, PowerOrder, RefusedSession, Why } from "../functions/protocol/console-session.ts";

export const TOKEN = "link-token-of-the-test";
export const SERVER = { id: "6f1c9a42-3c1e-4b0e-9d55-2f6f0a7c1e11", name: "web-1", status: "ACTIVE" };
const ME = 1;

const NO_REFUSAL = { code: 403, since: null, ask: null, power: false };

/** RFB's message types and encodings (rfbproto). */
const SET_ENCODINGS = 2;
const SET_DESKTOP_SIZE = 251;
const LOWEST_JPEG_QUALITY = -32;
const EXTENDED_DESKTOP_SIZE = -308;

export type PageEdge = {
  url: string;
  /** Every call so far: path, and what was in it. */
  calls: { path: string; body: Record<string, string> }[];
  /** What pages said in text frames, pings apart. */
  said: FromPage[];
  orders: PowerOrder[];
  /** Why the server takes no order now, in the edge's words. */
  cannot: string | null;
  /** What the guest's screen was told. */
  typed: { keysym: number; down: boolean }[];
  pasted: string[];
  /** The sizes that a page asked for its screen, and the JPEG qualities. */
  sizes: { width: number; height: number }[];
  qualities: number[];
  /** The guest's screen can have other sizes from now on. */
  resizable(): void;
  /** Answers every opening and resume so, until `allow`. */
  refuse(why: Why, more?: Partial<RefusedSession["refused"]>): void;
  allow(): void;
  rights: OpenedSession["session"]["rights"];
  pin: string | null;
  people: Extract<ToPage, { t: "people" }>;
  /** Tells all pages who is here now. */
  tell(frame: ToPage): void;
  /** Ends the live sockets with a code, or without any when there is none. */
  cut(code?: number, reason?: string): void;
  /** Nobody is at the address any more; `up`: somebody is again. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** Takes no pings and sends nothing any more, on sockets that stay open. */
  hush(quiet: boolean): void;
  /** The guest copies a text. */
  copy(text: string): void;
  sockets: number;
  close(): Promise<void>;
};

/** Built once for all edges of a process. */
let page: ReturnType<typeof viewer> | undefined;

export async function pageEdge(): Promise<PageEdge> {
  page ??= viewer();
  const { files, pages } = await page;
  const dir = await mkdtemp(join(tmpdir(), "page-edge-"));
  const guest = new Guest();
  const rfb = await RfbServer.listen({ path: join(dir, "s"), display: guest, name: SERVER.name, log: () => {} });
  const live = new Set<{ page: WebSocket; screen: Socket }>();
  let refused: RefusedSession["refused"] | null = null;
  let [key, ticket] = ["", ""];
  const stale = new Set<string>();
  let quiet = false;

  const edge: PageEdge = {
    url: "",
    calls: [],
    said: [],
    orders: [],
    cannot: null,
    typed: guest.typed,
    pasted: guest.pasted,
    sizes: [],
    qualities: [],
    rights: { input: true, clipboard: true, power: true },
    pin: null,
    people: { t: "people", you: ME, sharing: "all", control: null, people: [person(ME, "Ada")] },
    get sockets() {
      return live.size;
    },
    refuse(why, more = {}) {
      refused = { ...NO_REFUSAL, why, message: `refused: ${why}`, ...more };
    },
    allow() {
      refused = null;
    },
    tell(frame) {
      if (frame.t === "people") edge.people = frame;
      for (const { page } of live) page.send(JSON.stringify(frame));
    },
    cut(code, reason) {
      for (const { page } of live) code === undefined ? page.terminate() : page.close(code, reason);
    },
    hush(now) {
      quiet = now;
    },
    copy(text) {
      const bytes = Buffer.from(text, "latin1");
      const head = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]);
      head.writeUInt32BE(bytes.length, 4);
      for (const { page } of live) page.send(Buffer.concat([head, bytes]));
    },
    resizable() {
      for (const { page } of live) page.send(extendedDesktopSize(guest));
    },
    async down() {
      for (const { page, screen } of live) {
        page.terminate();
        screen.destroy();
      }
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
    up: () => listen(Number(new URL(edge.url).port)),
    async close() {
      await edge.down();
      await rfb.close();
      await rm(dir, { recursive: true, force: true });
    },
  };

  function enter(path: string, body: Record<string, string>): [number, OpenedSession | RefusedSession] {
    const no = (why: Why): [number, RefusedSession] => [403, { refused: { ...NO_REFUSAL, why, message: why } }];
    if (path.endsWith("/resume") ? body.key !== key && !stale.has(body.key ?? "") : body.token !== TOKEN) {
      return no("unknown");
    }
    if (path.endsWith("/resume") && stale.has(body.key ?? "")) return no("stolen");
    if (refused !== null) return [refused.why === "too_many_requests" ? 429 : 403, { refused }];
    if (!path.endsWith("/resume") && edge.pin !== null && body.pin !== edge.pin) {
      return no(body.pin === undefined ? "pin_needed" : "pin_wrong");
    }
    // The old key stays good until the new ticket was used: the answer may be lost on its way.
    const next = randomUUID();
    ticket = `${key}|${next}|${randomUUID()}`;
    if (key === "" || !path.endsWith("/resume")) key = next;
    pending.add(next);
    const session = {
      id: "session-1",
      server: SERVER,
      label: "Ada",
      rights: edge.rights,
      sharing: edge.people.sharing,
      ends_at: null,
    };
    return [path.endsWith("/resume") ? 200 : 201, { session, key: next, ticket }];
  }
  const pending = new Set<string>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? "/", "http://edge");
    if (request.method === "POST") {
      let text = "";
      for await (const chunk of request) text += chunk;
      const body = JSON.parse(text) as Record<string, string>;
      edge.calls.push({ path: pathname, body });
      if (pathname.endsWith("/power")) {
        if (edge.cannot !== null) {
          const said: RefusedSession = { refused: { ...NO_REFUSAL, code: 503, why: "failed", message: edge.cannot } };
          response.writeHead(503, { "content-type": "application/json" }).end(JSON.stringify(said));
          return;
        }
        edge.orders.push(body.do as PowerOrder);
        response.writeHead(204).end();
        return;
      }
      const [status, said] = enter(pathname, body);
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(said));
      return;
    }
    const name = pathname.slice(1);
    const file = files.get(name);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    const kind = name.endsWith(".js") ? "text/javascript" : name.endsWith(".css") ? "text/css" : "text/html";
    const policy = pages[name];
    response.setHeader("content-type", `${kind}; charset=utf-8`);
    if (policy !== undefined) response.setHeader("content-security-policy", policy.join("; "));
    response.end(file);
  }

  const server = createServer((request, response) => void answer(request, response));
  const upgrades = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const url = new URL(request.url ?? "/", "http://edge");
    if (url.pathname !== "/console/v1/screen" || url.searchParams.get("ticket") !== ticket) {
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const [old = "", next = ""] = ticket.split("|");
    ticket = "";
    if (old !== "" && old !== next) stale.add(old);
    key = next;
    upgrades.handleUpgrade(request, socket, head, (page) => {
      for (const other of live) other.page.close(4409);
      join_(page);
    });
  });

  function join_(page: WebSocket): void {
    const screen = connect(rfb.path);
    const both = { page, screen };
    live.add(both);
    page.on("error", () => {});
    screen.on("error", () => {});
    screen.on("data", (bytes) => {
      if (!quiet && page.readyState === page.OPEN) page.send(bytes);
    });
    screen.on("close", () => page.close(4410));
    page.on("close", () => {
      live.delete(both);
      screen.destroy();
    });
    page.on("message", (data, binary) => {
      if (binary) watch(data as Buffer, screen);
      else hear(page, JSON.parse(String(data)) as FromPage);
    });
    page.send(JSON.stringify(edge.people));
  }

  /** Passes on what the guest's screen understands, and notes what a person has set. noVNC sends one by one. */
  function watch(message: Buffer, screen: Socket): void {
    if (message[0] === SET_DESKTOP_SIZE) {
      edge.sizes.push({ width: message.readUInt16BE(2), height: message.readUInt16BE(4) });
      return;
    }
    if (message[0] === SET_ENCODINGS) {
      for (let at = 4; at < message.length; at += 4) {
        const quality = message.readInt32BE(at) - LOWEST_JPEG_QUALITY;
        if (quality >= 0 && quality <= 9) edge.qualities.push(quality);
      }
    }
    screen.write(message);
  }

  function hear(page: WebSocket, frame: FromPage): void {
    if (frame.t !== "ping") edge.said.push(frame);
    else if (!quiet) page.send(JSON.stringify({ t: "pong", at: frame.at } satisfies ToPage));
  }

  const listen = (port: number) => new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  await listen(0);
  edge.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return edge;
}

/** An update of one rectangle: the same size, by a server that knows of sizes (rfbproto, ExtendedDesktopSize). */
function extendedDesktopSize({ width, height }: { width: number; height: number }): Buffer {
  const update = Buffer.alloc(36);
  update.writeUInt16BE(1, 2);
  update.writeUInt16BE(width, 8);
  update.writeUInt16BE(height, 10);
  update.writeInt32BE(EXTENDED_DESKTOP_SIZE, 12);
  update.writeUInt8(1, 16);
  update.writeUInt16BE(width, 28);
  update.writeUInt16BE(height, 30);
  return update;
}

export function person(id: number, label: string, more: Partial<Person> = {}): Person {
  return { id, label, owner: false, input: true, ...more };
}

/** A fake guest that keeps what it was told. */
class Guest extends Screen {
  readonly typed: { keysym: number; down: boolean }[] = [];
  readonly pasted: string[] = [];

  constructor() {
    super(
      { name: SERVER.name, uuid: SERVER.id, size: "1 vCPU, 512 MB memory", host: "fake-1", power: "RUNNING" },
      clockFrom(Date.now() - 60_000),
    );
  }

  override key(keysym: number, down: boolean, scancode: number | null): void {
    this.typed.push({ keysym, down });
    super.key(keysym, down, scancode);
  }

  override cutText(text: string): void {
    this.pasted.push(text);
    super.cutText(text);
  }
}
