/** The console's whole path on real parts: the link, the upgrade, the splice, the agent, the fake guest's screen. */
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { socketPath } from "../../agent/drivers/fake/socket-folder.ts";
import { CONSOLE_CLOSE, CONSOLE_REASON, type ConsoleCloseCode } from "../../functions/protocol/console.ts";
import { demoImage, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";
import { terminal } from "../fake-terminal.ts";
import { RfbClient } from "../rfb-client.ts";
import type { RfbScreen } from "../rfb-screen.ts";
import { type RawHost, type RawLink, rawHost } from "./raw-agent.ts";

/** What the edge takes for every refusal, at the least (functions/console/upgrade.ts). */
const REFUSAL_MS = 150;
const ALLOWED = "https://dashboard.example";
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
/** RFC 6455 §1.3 gives the answer to its sample key. */
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const SECURITY_TYPE_NONE = Buffer.from([1, 1]);
const SECURITY_OK = Buffer.alloc(4);
const SERVER_INIT_HEAD_BYTES = 24;

type Session = {
  ws: WebSocket;
  client: RfbClient;
  /** Every message of the edge, by its own borders. */
  frames: Buffer[];
  end(): Promise<{ code: number; reason: string }>;
};

describe.each(["native", "relay"] as const)("a console, with the %s splice,", (CONSOLE_SPLICE) => {
  let edge: TestEdge;
  let image: string;
  let agent: TestAgent;
  let id: string;
  /** Every console token that was made, to look for in the logs. */
  const tokens: string[] = [];

  beforeAll(async () => {
    edge = await startTestEdge({ CONSOLE_SPLICE, CONSOLE_ALLOWED_ORIGINS: `${ALLOWED} plain-host` });
    agent = await edge.agent("one");
    image = await demoImage(edge.cloud);
    id = await boot();
  });
  afterAll(() => edge?.close());

  async function boot(host = "one"): Promise<string> {
    const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none", availability_zone: `nova:${host}` };
    const response = await edge.call("POST", "/compute/v2.1/servers", { body: { server } });
    const made = (await response.json()).server.id;
    expect((await edge.cloud.built(made, 20_000)).status).toBe("ACTIVE");
    return made;
  }

  async function act(server: string, body: unknown, becomes: string): Promise<void> {
    expect((await edge.call("POST", `/compute/v2.1/servers/${server}/action`, { body })).status).toBe(202);
    await until(async () => {
      const { server: now } = await (await edge.call("GET", `/compute/v2.1/servers/${server}`)).json();
      return now.status === becomes && now["OS-EXT-STS:task_state"] === null;
    }, `the server is ${becomes}`);
  }

  async function mint(server = id): Promise<string> {
    const token = new URL(await edge.cloud.consoleUrl(server)).searchParams.get("token")!;
    tokens.push(token);
    return token;
  }

  function dial(path: string, options: { origin?: string; protocols?: string[] } = {}): Session {
    const { origin, protocols = [] } = options;
    const url = `${edge.url.replace(/^http/, "ws")}${path}`;
    const ws = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
    const client = new RfbClient((bytes) => ws.send(bytes), { timeoutMs: 15_000 });
    const frames: Buffer[] = [];
    let closed: { code: number; reason: string } | null = null;
    ws.on("error", () => undefined);
    ws.on("message", (data, isBinary) => {
      expect(isBinary).toBe(true);
      frames.push(data as Buffer);
      client.feed(data as Buffer);
    });
    ws.on("close", (code, reason) => {
      closed = { code, reason: String(reason) };
      client.closed();
    });
    return { ws, client, frames, end: () => until(() => closed, "the console is closed") };
  }

  async function openScreen(path: string, options = {}): Promise<Session> {
    const session = dial(path, options);
    await session.client.ready();
    session.client.watch();
    await session.client.waitForScreen(() => true);
    return session;
  }

  /** Types, and waits until every one of `seenBy` shows it. */
  async function type(text: string, by: Session, seenBy: readonly Session[] = [by]): Promise<void> {
    for (const { client } of seenBy) await client.waitForScreen((screen) => terminalOf(screen) !== null);
    const before = seenBy.map(({ client }) => terminalOf(client.screen) as Buffer);
    by.client.type(text);
    for (const [i, { client }] of seenBy.entries()) {
      await client.waitForScreen((screen) => terminalOf(screen)?.equals(before[i]!) === false);
    }
  }

  const ends = (code: ConsoleCloseCode) => ({ code, reason: CONSOLE_REASON[code] });
  const refusal = { code: 1005, reason: "" };

  it.each([
    "/?token=T",
    "/websockify?token=T",
    "/vnc.html?token=T",
    "/a/b/c?x=1&token=T&title=t",
    "/compute/v2.1?token=T",
  ])("opens on %s, and shows a screen that answers to keys", async (path) => {
    const session = await openScreen(path.replace("T", await mint()));
    const { client, frames } = session;
    const before = Buffer.from(client.screen.rgba);
    client.type("hello");
    await client.waitForScreen((screen) => !screen.rgba.equals(before));
    expect(client.screen.name).toBe("a");
    expect(frames.slice(0, 3)).toEqual([Buffer.from("RFB 003.008\n"), SECURITY_TYPE_NONE, SECURITY_OK]);
    // noVNC reads a message at a time: one that is cut in two here would stall it.
    expect(frames[3]).toHaveLength(SERVER_INIT_HEAD_BYTES + "a".length);
    session.ws.close();
    await session.end();
  });

  it("opens several times with one token, and each sees what another types", async () => {
    const token = await mint();
    const sessions = await Promise.all([0, 1, 2].map(() => openScreen(`/?token=${token}`)));
    const [typist, ...watchers] = sessions;
    await type("seen by all\n", typist!, sessions);
    typist!.ws.terminate();
    await type("still here", watchers[0]!, watchers);
    for (const { ws } of sessions) ws.close();
  });

  it.each([
    [[], ""],
    [["binary"], "binary"],
    [["base64", "binary"], "binary"],
  ])("of the subprotocols %j echoes %j", async (protocols, echoed) => {
    const session = await openScreen(`/?token=${await mint()}`, { protocols });
    expect(session.ws.protocol).toBe(echoed);
    session.ws.close();
  });

  it.each([
    ["our own", () => edge.url],
    ["an allowed one", () => ALLOWED],
    ["one on an allowed host", () => "https://plain-host:8443"],
  ])("lets %s origin in", async (_which, origin) => {
    const session = await openScreen(`/?token=${await mint()}`, { origin: origin() });
    session.ws.close();
  });

  it.each(["https://evil.example", "https://dashboard.example.evil.example", "http://dashboard.example", "null", "x"])(
    "refuses the origin %s as it refuses a bad token",
    async (origin) => {
      const session = dial(`/?token=${await mint()}`, { origin });
      expect(await session.end()).toEqual(refusal);
      expect(session.frames).toEqual([]);
    },
  );

  it("passes a big paste up, whole", async () => {
    const session = await openScreen(`/?token=${await mint()}`);
    session.client.cutText("x".repeat(500_000));
    await type("after the paste", session);
    session.ws.close();
  });

  it("ends when the server is stopped, with the reason, and opens again when it is started", async () => {
    const server = await boot();
    const token = await mint(server);
    const sessions = await Promise.all([openScreen(`/?token=${token}`), openScreen(`/?token=${token}`)]);
    await act(server, { "os-stop": null }, "SHUTOFF");
    for (const session of sessions) expect(await session.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_CLOSED));
    const off = await edge.call("POST", `/compute/v2.1/servers/${server}/remote-consoles`, {
      body: { remote_console: { protocol: "vnc", type: "novnc" } },
    });
    expect(off.status).toBe(409);
    await act(server, { "os-start": null }, "ACTIVE");
    const again = await openScreen(`/?token=${await mint(server)}`);
    expect((await edge.call("DELETE", `/compute/v2.1/servers/${server}`)).status).toBe(204);
    expect(await again.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_CLOSED));
  });

  it("says so when the guest has no screen", async () => {
    const server = await boot();
    const token = await mint(server);
    rmSync(socketPath(join(agent.stateDir, "fake"), server));
    const session = dial(`/?token=${token}`);
    expect(await session.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_UNAVAILABLE));
    expect(session.frames).toEqual([]);
  });

  it("says so when the agent stops, and when it is away", async () => {
    const other = await edge.agent("two");
    const server = await boot("two");
    const token = await mint(server);
    const session = await openScreen(`/?token=${token}`);
    await other.agent.stop();
    expect(await session.end()).toEqual(ends(CONSOLE_CLOSE.AGENT_STOPPING));
    const late = dial(`/?token=${token}`);
    expect(await late.end()).toEqual(ends(CONSOLE_CLOSE.HOST_OFFLINE));
    expect(late.frames).toEqual([]);
  });

  it("opens after the host's object was evicted with its link asleep", async () => {
    const session = await openScreen(`/?token=${await mint()}`);
    session.ws.close();
    await session.end();
    const worker = edge.harness.getWorker();
    await worker.evictDurableObject("HOST", { name: "one", webSockets: "hibernate" });
    await worker.evictDurableObject("SERVER", { name: id });
    const again = await openScreen(`/?token=${await mint()}`);
    again.ws.close();
    expect(agent.logs.filter(({ event }) => event === "link.up")).toHaveLength(1);
  });

  describe("whose agent is slow,", () => {
    let slow: RawHost;
    let link: RawLink;
    let server: string;
    const tickets = () =>
      link.frames.flatMap((frame) =>
        frame.t === "call" && frame.method === "open_console"
          ? [frame.params as { console: string; ticket: string }]
          : [],
      );

    beforeAll(async () => {
      slow = await rawHost(edge, "slow");
      link = await slow.link();
      link.onCall = ({ method }) => {
        if (method === "spawn") return { ok: true, value: { power_state: 1 } };
        if (method === "get_vnc_console") return { ok: true, value: { transport: "unix", path: "/x" } };
        return { ok: true, value: {} };
      };
      server = await boot("slow");
    });
    afterAll(() => slow?.close());

    function join(which: number): WebSocket {
      const { console: name, ticket } = tickets()[which]!;
      const ws = new WebSocket(`${edge.url.replace(/^http/, "ws")}/agent/v1/console/${name}`, {
        headers: { authorization: `Bearer ${ticket}` },
      });
      ws.on("error", () => undefined);
      return ws;
    }

    it("and whose browser leaves before the agent came, leaves nothing behind", async () => {
      const token = await mint(server);
      const first = dial(`/?token=${token}`);
      await until(() => tickets().length === 1, "the agent is called");
      first.ws.terminate();
      await first.end();
      const second = dial(`/?token=${token}`);
      await until(() => tickets().length === 2, "the agent is called again");
      const [late, right] = [join(0), join(1)];
      let lateGot = 0;
      late.on("message", () => lateGot++);
      await until(() => late.readyState === WebSocket.CLOSED, "the late one finds nobody");
      await until(() => right.readyState === WebSocket.OPEN, "the right one is joined");
      right.send(Buffer.from("to the second"));
      await until(() => second.frames.length === 1, "it arrives");
      expect([String(second.frames[0]), lateGot]).toEqual(["to the second", 0]);
      second.ws.close(4000, "enough");
      await until(() => right.readyState === WebSocket.CLOSED, "the end arrives");
    });

    it("takes each ticket once, and for its own session", async () => {
      const before = tickets().length;
      const session = dial(`/?token=${await mint(server)}`);
      await until(() => tickets().length > before, "the agent is called");
      const agentsEnd = join(before);
      await until(() => agentsEnd.readyState === WebSocket.OPEN, "it is joined");
      const thief = join(before);
      const refused = await new Promise((resolve) =>
        thief.once("unexpected-response", (_request, response) => resolve(response.statusCode)),
      );
      expect(refused).toBe(410);
      agentsEnd.close(4001, "the agent's own reason");
      expect(await session.end()).toEqual({ code: 4001, reason: "the agent's own reason" });
    });
  });

  describe("refused", () => {
    /** An upgrade by hand: all bytes that come back until the edge has said close, and the time that took. */
    function upgrade(path: string, wanted: (bytes: string) => boolean): Promise<{ bytes: string; ms: number }> {
      const { hostname, port, host } = new URL(edge.url);
      const startedMs = performance.now();
      return new Promise((resolve, reject) => {
        const socket = connect(Number(port), hostname);
        let bytes = "";
        const timer = setTimeout(() => finish(() => reject(new Error(`only got ${JSON.stringify(bytes)}`))), 15_000);
        const finish = (settle: () => void) => {
          clearTimeout(timer);
          socket.destroy();
          settle();
        };
        socket.on("error", (error) => finish(() => reject(error)));
        socket.on("data", (chunk) => {
          bytes += chunk.toString("latin1");
          if (wanted(bytes)) finish(() => resolve({ bytes, ms: performance.now() - startedMs }));
        });
        const lines = [
          `GET ${path} HTTP/1.1`,
          `Host: ${host}`,
          "Upgrade: websocket",
          "Connection: Upgrade",
          "Sec-WebSocket-Version: 13",
          `Sec-WebSocket-Key: ${KEY}`,
        ];
        socket.write(`${lines.join("\r\n")}\r\n\r\n`);
      });
    }
    const EMPTY_CLOSE = "\x88\x00";

    it("is told apart by nothing: bad, malformed, missing, deleted, restarted and expired tokens", async () => {
      const deleted = await boot();
      const ofDeleted = await mint(deleted);
      await edge.call("DELETE", `/compute/v2.1/servers/${deleted}`);
      await until(
        async () => (await edge.call("GET", `/compute/v2.1/servers/${deleted}`)).status === 404,
        "it is gone",
      );
      const restarted = await boot();
      const ofBefore = await mint(restarted);
      await act(restarted, { "os-stop": null }, "SHUTOFF");
      await act(restarted, { "os-start": null }, "ACTIVE");

      const paths = [
        `/?token=${crypto.randomUUID()}`,
        "/?token=no-uuid",
        "/?token=",
        "/",
        "/vnc_auto.html?title=a",
        `/websockify?token=${ofDeleted}`,
        `/websockify?token=${ofBefore}`,
      ];
      const answers = await Promise.all(paths.map((path) => upgrade(path, (bytes) => bytes.endsWith(EMPTY_CLOSE))));
      expect(new Set(answers.map(({ bytes }) => bytes)).size).toBe(1);
      const [head = "", payload] = answers[0]!.bytes.split("\r\n\r\n");
      expect(payload).toBe(EMPTY_CLOSE);
      const [status, ...headers] = head.split("\r\n");
      expect(status).toBe("HTTP/1.1 101 Switching Protocols");
      expect(headers.map((line) => line.toLowerCase())).toContain("upgrade: websocket");
      expect(headers).toContain(`Sec-WebSocket-Accept: ${ACCEPT}`);
      expect(Math.min(...answers.map(({ ms }) => ms))).toBeGreaterThanOrEqual(REFUSAL_MS);
    });

    it("is what a good token is not: the same upgrade by hand brings the greeting", async () => {
      const { bytes } = await upgrade(`/?token=${await mint()}`, (got) => got.endsWith("RFB 003.008\n"));
      expect(bytes.split("\r\n\r\n")[1]).toBe("\x82\x0cRFB 003.008\n");
      expect(bytes.startsWith("HTTP/1.1 101 Switching Protocols\r\n")).toBe(true);
    });

    it("looks the same when the token has expired by itself", async () => {
      const bad = await upgrade("/?token=none", (bytes) => bytes.endsWith(EMPTY_CLOSE));
      const short = await startTestEdge({ CONSOLE_SPLICE, TOKEN_TTL: "1" });
      try {
        await short.agent("brief");
        const made = await short.cloud.createServer("a", await demoImage(short.cloud), "1");
        await short.cloud.built(made, 20_000);
        const path = new URL(await short.cloud.consoleUrl(made)).search;
        const here = edge;
        edge = short;
        try {
          // While it lives it opens; how long the machine takes for that is not ours to say.
          const expired = await until(async () => {
            const answer = await upgrade(`/${path}`, (bytes) => bytes.endsWith(EMPTY_CLOSE) || bytes.includes("RFB"));
            return answer.bytes.endsWith(EMPTY_CLOSE) ? answer : null;
          }, "the token has expired");
          expect(expired.bytes).toBe(bad.bytes);
          expect(expired.ms).toBeGreaterThanOrEqual(REFUSAL_MS);
        } finally {
          edge = here;
        }
      } finally {
        await short.close();
      }
    });
  });

  it("never writes a token to the log", () => {
    const logs = JSON.stringify(edge.harness.getLogs());
    expect(logs).toContain("console.summoned");
    expect(tokens.length).toBeGreaterThan(10);
    for (const token of tokens) expect(logs).not.toContain(token);
    for (const token of tokens) expect(JSON.stringify(agent.logs)).not.toContain(token);
  });
});

function terminalOf({ width, rgba }: RfbScreen): Buffer | null {
  return terminal({ width, data: rgba });
}
