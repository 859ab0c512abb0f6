import { beforeEach, describe, expect, it } from "vitest";
import type { Consoles } from "../../agent/console/consoles.ts";
import { ByteFeed } from "../../agent/rfb/byte-feed.ts";
import { handshake } from "../../agent/rfb/handshake.ts";
import { CONSOLE_CLOSE, CONSOLE_REASON, GO, HOLD } from "../../functions/protocol/console.ts";
import type { Params } from "../../functions/protocol/methods.ts";
import { HELLO, SERVER_INIT, VIEWER_MESSAGES, WELCOME } from "../rfb-peers.ts";
import { ConsoleHost, KEY, PARAMS } from "./agent-console-host.ts";
import type { AgentConsole, ScriptedEdge } from "./agent-scripted-edge.ts";
import { OTHER, SERVER, until } from "./agent-support.ts";

/** As many presses of a key as fill 64 KiB. */
const KEYS = Buffer.alloc(65_536, KEY);
const BELL = Buffer.from([2]);

let host: ConsoleHost;
let edge: ScriptedEdge;
let consoles: Consoles;

beforeEach(async () => {
  host = await ConsoleHost.start();
  ({ edge, consoles } = host);
  return () => host.stop();
});

const open = (params: Params<"open_console"> = PARAMS) => host.open(params);
const down = (viewer: AgentConsole) => Buffer.concat(viewer.messages);

describe("a console", () => {
  it("dials with its ticket and passes bytes both ways", async () => {
    const { screen, viewer } = await open();
    expect([viewer.path, viewer.authorization]).toEqual([
      `/agent/v1/console/${PARAMS.console}`,
      "Bearer secret-ticket",
    ]);
    expect(viewer.socket.extensions).toBe("");
    const up: Buffer[] = [];
    screen.on("data", (chunk: Buffer) => void up.push(chunk)).resume();
    screen.write(BELL);
    await until(() => down(viewer).equals(BELL), "the bell");
    viewer.socket.send(KEY.subarray(0, 3));
    viewer.socket.send(KEY.subarray(3));
    await until(() => Buffer.concat(up).equals(KEY), "the key");
    expect(JSON.stringify(host.logged.lines)).not.toContain("secret-ticket");
  });

  it("keeps what its viewer has no right to from the VNC server, and the guest's clipboard from its viewer", async () => {
    const { screen, viewer } = await open({ ...PARAMS, rights: { input: false, clipboard: false } });
    const up: Buffer[] = [];
    screen.on("data", (chunk: Buffer) => void up.push(chunk)).resume();
    const { watch, input, clipboard } = VIEWER_MESSAGES;
    viewer.socket.send(Buffer.concat([...watch, ...input, ...clipboard, ...watch.slice(1)]));
    const wanted = Buffer.concat([...watch, ...watch.slice(1)]);
    await until(() => Buffer.concat(up).length >= wanted.length, "what passes");
    screen.write(Buffer.from([3, 0, 0, 0, 0, 0, 0, 2, 104, 105, ...BELL]));
    await until(() => down(viewer).length > 0, "the bell");
    expect(down(viewer)).toEqual(BELL);
    expect(Buffer.concat(up)).toEqual(wanted);
    viewer.socket.close(1000);
    await until(() => host.logged.events().includes("console.closed"), "the line");
    expect(host.logged.lines.at(-1)).toMatchObject({ keys: 0, pointers: 0, cut_texts: 0 });
  });

  it("ends with a reason when its viewer speaks no RFB, or the screen speaks what a link cannot be kept safe with", async () => {
    const first = await open();
    first.viewer.socket.send(Buffer.from([9]));
    await until(() => first.viewer.closed?.[0] === CONSOLE_CLOSE.BAD_VIEWER, "the viewer's close");
    const second = await open({ ...PARAMS, rights: { input: true, clipboard: false } });
    second.screen.write(Buffer.from([9]));
    await until(() => second.viewer.closed?.[0] === CONSOLE_CLOSE.BAD_SCREEN, "the screen's close");
    const third = await open();
    third.screen.write(Buffer.from([9, 9]));
    await until(() => down(third.viewer).length === 2, "bytes that nobody can follow");
  });

  it("sends what the VNC server said before the viewer came, when it has come", async () => {
    host.leads = false;
    host.vnc.once("connection", (socket) => {
      const reading = new ByteFeed(handshake((bytes) => socket.write(bytes), Buffer.concat([SERVER_INIT, BELL])));
      socket.on("data", (bytes: Buffer) => reading.push(bytes));
    });
    await consoles.open(SERVER, PARAMS);
    await until(() => edge.consoles.length === 1, "the viewer");
    const viewer = edge.consoles[0]!;
    viewer.socket.send(HELLO);
    await until(() => down(viewer).equals(Buffer.concat([WELCOME, BELL])), "the welcome, and the bell behind it");
  });

  it("that is silent is kept alive by an update of nothing, which stands between two messages only", async () => {
    const { screen, viewer } = await open();
    const nothing = Buffer.alloc(4);
    await until(() => down(viewer).length >= 8, "two heartbeats");
    expect(down(viewer).subarray(0, 8)).toEqual(Buffer.concat([nothing, nothing]));
    let pings = 0;
    viewer.socket.on("ping", () => {
      pings += 1;
    });
    // The head of an update of one rectangle: until the rest has come, nothing may stand behind it.
    screen.write(Buffer.from([0, 0, 0, 1]));
    await until(() => down(viewer).at(-1) === 1, "the head");
    await until(() => pings > 4, "so long a silence");
    expect(down(viewer).at(-1)).toBe(1);
  });

  it("sends each write of the VNC server as a frame of its own", async () => {
    const { screen, viewer } = await open();
    const messages = [String(BELL), "\x00\x00\x00\x00", "x".repeat(1000)];
    for (const [i, message] of messages.entries()) {
      screen.write(message);
      await until(() => viewer.messages.length === i + 1, `message ${i}`);
    }
    expect(viewer.messages.map(String)).toEqual(messages);
  });

  it("keeps every byte in order under load", async () => {
    const sent = Buffer.alloc(3_000_000);
    for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE(i, i);
    const { screen, viewer } = await open();
    // One raw rectangle and the start of another.
    sent.set([0, 0, 0, 2, 0, 0, 0, 0, 3, 232, 1, 244, 0, 0, 0, 0]);
    screen.write(sent);
    await until(() => down(viewer).length === sent.length, "all bytes");
    expect(down(viewer).equals(sent)).toBe(true);
    expect(Math.max(...viewer.messages.map((message) => message.length))).toBeLessThanOrEqual(65536);
  });
});

describe("a stall", () => {
  /** Writes until the other end takes no more; says how many bytes were written and how many of them it took. */
  async function fill(
    write: (chunk: Buffer) => void,
    pending: () => number,
  ): Promise<{ offered: number; taken: number }> {
    const chunk = Buffer.alloc(65536, 7);
    let offered = 0;
    let taken = 0;
    for (let calm = 0; calm < 40 && taken < 300_000_000; calm += 1) {
      while (pending() < 1_000_000) {
        write(chunk);
        offered += chunk.length;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (offered - pending() !== taken) calm = 0;
      taken = offered - pending();
    }
    return { offered, taken };
  }

  it("of the viewer stops the VNC server, and all arrives when it goes on", async () => {
    const { screen, viewer } = await open();
    viewer.socket.pause();
    const { offered, taken } = await fill(
      (chunk) => screen.write(chunk),
      () => screen.writableLength,
    );
    expect(taken).toBeLessThan(32_000_000);
    viewer.socket.resume();
    await until(() => down(viewer).length === offered, "all bytes");
  });

  it("that the edge's relay asks for stops the VNC server until it says go", async () => {
    const { screen, viewer } = await open();
    screen.write("before");
    await until(() => down(viewer).length === 6, "what came before");
    viewer.socket.send(HOLD);
    // Read once more: a write that was under way may still come.
    const { offered, taken } = await fill(
      (chunk) => screen.write(chunk),
      () => screen.writableLength,
    );
    expect(taken).toBeLessThan(32_000_000);
    expect(down(viewer).length).toBeLessThan(offered);
    viewer.socket.send(GO);
    await until(() => down(viewer).length === offered + 6, "all bytes");
  });

  it("of the VNC server stops the viewer, and all arrives when it goes on", async () => {
    const { screen, viewer } = await open();
    screen.pause();
    const { offered, taken } = await fill(
      () => viewer.socket.send(KEYS),
      () => viewer.socket.bufferedAmount,
    );
    expect(taken).toBeLessThan(32_000_000);
    let arrived = 0;
    screen.on("data", (chunk) => {
      arrived += chunk.length;
    });
    screen.resume();
    await until(() => arrived === offered, "all bytes");
  });

  it("cannot keep the session of a server that is gone", async () => {
    const { screen, viewer } = await open();
    viewer.socket.pause();
    await fill(
      (chunk) => screen.write(chunk),
      () => screen.writableLength,
    );
    consoles.close(OTHER, { code: CONSOLE_CLOSE.SCREEN_CLOSED });
    expect(consoles.count).toBe(1);
    consoles.close(SERVER, { code: CONSOLE_CLOSE.SCREEN_CLOSED });
    await until(() => consoles.count === 0 && screen.destroyed, "the end");
  });
});

describe("the end", () => {
  it("of the screen reaches the viewer with its code and reason, after the last byte", async () => {
    const { screen, viewer } = await open();
    screen.end("bye");
    await until(() => viewer.closed !== undefined, "the close");
    expect(String(down(viewer))).toBe("bye");
    expect(viewer.closed).toEqual([CONSOLE_CLOSE.SCREEN_CLOSED, CONSOLE_REASON[CONSOLE_CLOSE.SCREEN_CLOSED]]);
    await until(() => host.logged.events().includes("console.closed"), "the line");
    expect(host.logged.lines.at(-1)).toMatchObject({
      by: "screen",
      code: CONSOLE_CLOSE.SCREEN_CLOSED,
      bytes_down: WELCOME.length + 3,
    });
  });

  it("of a screen that stalled and then died is noticed", async () => {
    const { screen, viewer } = await open();
    screen.pause();
    for (let i = 0; i < 100; i += 1) viewer.socket.send(KEYS);
    screen.destroy();
    await until(() => viewer.closed?.[0] === CONSOLE_CLOSE.SCREEN_CLOSED, "the close");
  });

  it("of the viewer closes the VNC server's socket", async () => {
    const { screen, viewer } = await open();
    screen.resume();
    viewer.socket.close(1000);
    await until(() => screen.destroyed, "the screen's end");
    await until(() => consoles.count === 0, "the session's end");
    expect(host.logged.lines.at(-1)).toMatchObject({ event: "console.closed", by: "link", code: 1000 });
  });

  it("of the agent says so", async () => {
    const { viewer } = await open();
    await consoles.stop();
    await until(() => viewer.closed !== undefined, "the close");
    expect(viewer.closed).toEqual([CONSOLE_CLOSE.AGENT_STOPPING, CONSOLE_REASON[CONSOLE_CLOSE.AGENT_STOPPING]]);
    await expect(consoles.open(SERVER, PARAMS)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
  });

  it("comes at once for text and for frames that no viewer sends", async () => {
    const first = await open();
    first.viewer.socket.send("hello");
    await until(() => first.viewer.closed?.[0] === 1003, "the close for text");
    const second = await open();
    second.viewer.socket.send(Buffer.alloc(2 * 1024 * 1024));
    await until(() => second.viewer.closed?.[0] === 1009, "the close for size");
    await until(() => consoles.count === 0, "the sessions' end");
  });
});

describe("a console that cannot be", () => {
  it("is refused when the guest has no screen, or none that answers", async () => {
    host.driver.vnc = null;
    await expect(consoles.open(SERVER, PARAMS)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
    host.driver.vnc = { transport: "unix", path: "/nowhere/vnc.sock" };
    await expect(consoles.open(SERVER, PARAMS)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
    host.driver.vnc = { transport: "tcp", host: "127.0.0.1", port: 1 };
    await expect(consoles.open(SERVER, PARAMS)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
    expect(consoles.count).toBe(0);
  });

  it("lets go of the screen when the edge refuses the ticket", async () => {
    edge.refuse = { status: 401, body: { unauthorized: { code: 401, message: "The ticket is over." } } };
    await consoles.open(SERVER, PARAMS);
    await until(() => consoles.count === 0, "the session's end");
    expect(host.logged.lines.at(-1)).toMatchObject({ event: "console.dial_failed" });
    expect(host.logged.lines.at(-1)!.message).toContain("The ticket is over.");
    await until(() => host.screens.length === 1, "the screen");
    host.screens[0]!.resume();
    await until(() => host.screens[0]!.destroyed, "the screen's end");
  });
});
