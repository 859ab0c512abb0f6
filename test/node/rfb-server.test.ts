import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex, duplexPair } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { clockFrom } from "../../agent/drivers/fake/guest-clock.ts";
import { NATIVE_FORMAT, type PixelFormat } from "../../agent/drivers/fake/pixel-format.ts";
import { RfbConnection } from "../../agent/drivers/fake/rfb-connection.ts";
import { MAX_CUT_TEXT_BYTES } from "../../agent/drivers/fake/rfb-messages.ts";
import { MAX_CLIENTS, RfbServer } from "../../agent/drivers/fake/rfb-server.ts";
import { HEIGHT, Screen, WIDTH } from "../../agent/drivers/fake/screen.ts";
import { QEMU_EXTENDED_KEY, RAW, RfbClient, type RfbClientOptions, ZRLE } from "../rfb-client.ts";
import type { RfbScreen } from "../rfb-screen.ts";

const FACTS = {
  name: "web-1",
  uuid: "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a023",
  size: "1 vCPU",
  host: "fake-1",
  power: "RUNNING",
};
/** Where the first typed characters stand. */
const typed = (screen: RfbScreen): Buffer => screen.area(36, 246, 400, 24);
const FULL_RAW_BYTES = WIDTH * HEIGHT * 4;

type Logged = { event: string; fields: Record<string, unknown> };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function recorder() {
  const logs: Logged[] = [];
  return { logs, log: (event: string, fields: Record<string, unknown> = {}) => void logs.push({ event, fields }) };
}

/** A screen whose clock stands still, long after its boot. */
function stillScreen(): Screen {
  return new Screen(FACTS, clockFrom(0), () => 3_600_000);
}

/** A connection over a pair of streams; `slice` cuts what the client sends into pieces of so many bytes. */
function pair({
  screen = stillScreen(),
  slice,
  ...options
}: RfbClientOptions & { screen?: Screen; slice?: number } = {}) {
  const { logs, log } = recorder();
  const [near, far] = duplexPair();
  new RfbConnection(near, { display: screen, name: FACTS.name, log });
  cleanups.push(() => far.destroy());
  const write = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; at += slice ?? bytes.length) {
      far.write(bytes.subarray(at, at + (slice ?? bytes.length)));
    }
  };
  const client = new RfbClient(write, options);
  far.on("data", (chunk: Buffer) => client.feed(chunk));
  far.on("close", () => client.closed());
  far.on("end", () => client.closed());
  return { client, far, logs, screen };
}

async function watching(options: Parameters<typeof pair>[0] = {}) {
  const made = pair(options);
  await made.client.ready();
  made.client.watch();
  return made;
}

/** What a client that writes `bytes` after the greeting is answered, until the server closes. */
async function hostile(bytes: Uint8Array): Promise<{ answer: Buffer; logs: Logged[] }> {
  const { logs, log } = recorder();
  const [near, far] = duplexPair();
  new RfbConnection(near, { display: stillScreen(), name: "x", log });
  const pieces: Buffer[] = [];
  far.on("data", (piece: Buffer) => pieces.push(piece));
  far.write(bytes);
  await once(far, "end");
  return { answer: Buffer.concat(pieces), logs };
}

/** All a 3.8 client says before its messages. */
const HELLO = Buffer.concat([Buffer.from("RFB 003.008\n"), Buffer.from([1, 1])]);

describe("handshake", () => {
  it.each(["003", "007", "008"] as const)("serves version 3.%s", async (version) => {
    const { client } = pair({ version });
    expect(await client.ready()).toMatchObject({ width: 800, height: 600, name: "web-1" });
    client.watch();
    await client.waitForScreen((seen) => seen.rgb(0, 0) !== 0);
  });

  it("says ServerInit in one write", async () => {
    const { far, client } = pair();
    const pieces: Buffer[] = [];
    far.on("data", (piece: Buffer) => pieces.push(piece));
    await client.ready();
    expect(pieces.at(-1)?.length).toBe(24 + FACTS.name.length);
  });

  it.each(["HTTP/1.1 GET", "RFB 004.001\n", "RFB 003.0x8\n", "\0".repeat(12)])("refuses %j", async (greeting) => {
    const { answer, logs } = await hostile(Buffer.from(greeting));
    expect(answer.toString()).toBe("RFB 003.008\n");
    expect(logs).toMatchObject([{ event: "rfb.client_refused" }]);
  });

  it("tells a 3.8 client why its security type is refused", async () => {
    const { answer } = await hostile(Buffer.from("RFB 003.008\n\x02"));
    expect(answer.readUInt32BE(14)).toBe(1);
    expect(answer.subarray(22)).toHaveLength(answer.readUInt32BE(18));
    expect(answer.subarray(22).toString()).toBe("this server offers security type None only");
  });
});

describe("messages", () => {
  it("understands a stream cut at every byte", async () => {
    const { client } = await watching({ slice: 1, encodings: [ZRLE, RAW, QEMU_EXTENDED_KEY] });
    await client.waitForScreen(() => client.extendedKeys);
    const before = typed(client.screen);
    client.cutText("ab");
    client.pointer(10, 20, 1);
    client.extendedKey(0x63, 0x2e, true);
    await client.waitForScreen((seen) => !typed(seen).equals(before));
  });

  it("closes on a message it does not know", async () => {
    const { logs } = await hostile(Buffer.concat([HELLO, Buffer.from([77])]));
    expect(logs).toEqual([{ event: "rfb.client_refused", fields: { reason: "unknown message 77" } }]);
  });

  it.each([
    ["a QEMU message it does not know", [255, 1]],
    ["more encodings than any viewer has", [2, 0, 255, 255]],
    ["a colour map", [0, 0, 0, 0, 8, 8, 0, 0, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0]],
    ["24 bits a pixel", [0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]],
    ["a colour outside of its pixel", [0, 0, 0, 0, 8, 8, 0, 1, 255, 255, 0, 7, 0, 3, 200, 3, 6, 0, 0, 0]],
  ])("closes on %s", async (_, bytes) => {
    const { logs } = await hostile(Buffer.concat([HELLO, Buffer.from(bytes)]));
    expect(logs).toMatchObject([{ event: "rfb.client_refused" }]);
  });

  it("skips a cut text of 4 GiB without keeping it, and stays with the client", async () => {
    const { client, far } = pair();
    await client.ready();
    const before = process.memoryUsage().arrayBuffers;
    far.write(Buffer.from([6, 0, 0, 0, 255, 255, 255, 255]));
    const mebibyte = Buffer.alloc(1024 * 1024, 0x61);
    for (let i = 0; i < 64; i++) {
      if (!far.write(mebibyte)) await once(far, "drain");
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
    expect(client.ended).toBe(false);
  });

  it("reads on after a cut text beyond the limit", async () => {
    const { client } = pair();
    await client.ready();
    client.cutText("x".repeat(MAX_CUT_TEXT_BYTES + 10));
    client.watch();
    await client.waitForScreen((seen) => seen.rgb(0, 0) !== 0);
  });

  it("shows a pasted text as if it were typed", async () => {
    const [keys, pasted] = [pair(), pair()];
    for (const { client } of [keys, pasted]) {
      await client.ready();
      client.watch();
      await client.waitForScreen(() => true);
    }
    const before = Buffer.from(keys.client.screen.rgba);
    keys.client.type("one\ntwo");
    pasted.client.cutText("one\ntwo");
    await keys.client.waitForScreen((seen) => !seen.rgba.equals(before));
    await pasted.client.waitForScreen((seen) => seen.rgba.equals(keys.client.screen.rgba));
    expect(pasted.client.screen.rgba).not.toEqual(before);
  });
});

describe("updates", () => {
  const FORMATS: [string, Partial<PixelFormat>][] = [
    ["32 bits, big-endian", { bigEndian: true }],
    ["32 bits, colours on top", { redShift: 24, greenShift: 16, blueShift: 8 }],
    ["32 bits, depth 30", { depth: 30, redMax: 1023, greenMax: 1023, blueMax: 1023, redShift: 20, greenShift: 10 }],
  ];
  const SMALL: [string, Partial<PixelFormat>, number][] = [
    ["16 bits, little-endian", { redMax: 31, greenMax: 63, blueMax: 31, redShift: 11, greenShift: 5 }, 16],
    [
      "16 bits, big-endian",
      { bigEndian: true, redMax: 31, greenMax: 31, blueMax: 31, redShift: 10, greenShift: 5 },
      16,
    ],
    ["8 bits", { redMax: 7, greenMax: 7, blueMax: 3, redShift: 0, greenShift: 3, blueShift: 6 }, 8],
  ];

  it.each(FORMATS)("sends pixels of %s", async (_, change) => {
    const { client } = await watching({ format: { ...NATIVE_FORMAT, ...change } });
    await client.waitForScreen((seen) => seen.rgb(30, 16) === 0xff8b3d && seen.rgb(2, 100) === 0x0b0f17);
  });

  it.each(SMALL)("sends pixels of %s", async (_, change, bits) => {
    const format = { ...NATIVE_FORMAT, ...change, bitsPerPixel: bits as 8 | 16, depth: bits };
    const { client } = await watching({ format });
    const step = Math.ceil(255 / format.blueMax / 2);
    await client.waitForScreen((seen) => {
      const [red, green, blue] = seen.area(30, 16, 1, 1);
      return [red! - 0xff, green! - 0x8b, blue! - 0x3d].every((error) => Math.abs(error) <= step);
    });
  });

  it("sends the same picture by Raw and by ZRLE, which is much smaller", async () => {
    const screen = stillScreen();
    const raw = pair({ screen });
    const zrle = pair({ screen, encodings: [ZRLE, RAW] });
    for (const { client } of [raw, zrle]) {
      await client.ready();
      client.watch();
    }
    raw.client.type("every key changes what both see: 0123456789 []{}<>\n".repeat(20));
    raw.client.pointer(799, 599, 7);
    await raw.client.waitForScreen((seen) => seen.rgb(245, 572) === 0xff8b3d);
    await zrle.client.waitForScreen((seen) => seen.rgba.equals(raw.client.screen.rgba));
    expect(zrle.client.bytes).toBeLessThan(raw.client.bytes / 20);
  });

  it("prefers the encoding that the client names first", async () => {
    const { client } = await watching({ encodings: [RAW, ZRLE] });
    await client.waitForScreen(() => true);
    expect(client.bytes).toBeGreaterThan(FULL_RAW_BYTES);
  });

  it("shows a typed key to every client, by its damage alone", async () => {
    const screen = stillScreen();
    const clients = [pair({ screen }), pair({ screen }), pair({ screen })].map(({ client }) => client);
    for (const client of clients) {
      await client.ready();
      client.watch();
      await client.waitForScreen(() => true);
    }
    const bytes = clients.map((client) => client.bytes);
    const before = typed(clients[0]!.screen);
    clients[0]!.type("k");
    for (const client of clients) await client.waitForScreen((seen) => !typed(seen).equals(before));
    for (const [i, client] of clients.entries()) expect(client.bytes - bytes[i]!).toBeLessThan(20_000);
  });

  it("answers an incremental request when something changes, and not before", async () => {
    const { client, screen } = pair();
    await client.ready();
    client.requestUpdate(false);
    await client.waitFor(() => client.updates === 1, { what: "the first update" });
    client.requestUpdate(true);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(client.updates).toBe(1);
    screen.key(0x61, true, null);
    await client.waitFor(() => client.updates === 2, { what: "the second update" });
  });

  it("sends no pixel outside of the area asked for, and nothing for an empty one", async () => {
    const { client } = pair();
    await client.ready();
    client.requestUpdate(false, { x: 10, y: 10, width: 0, height: 0 });
    client.requestUpdate(false, { x: 900, y: 10, width: 5, height: 5 });
    client.requestUpdate(false, { x: 790, y: 590, width: 100, height: 100 });
    await client.waitFor(() => client.updates === 1, { what: "an update" });
    expect(client.screen.rgba.subarray(0, 590 * WIDTH * 4).every((byte) => byte === 0)).toBe(true);
    expect(client.screen.area(790, 590, 10, 10).every((byte) => byte !== 0)).toBe(true);
  });

  it("tells a client that asks for it of QEMU's key event", async () => {
    const { client } = await watching({ encodings: [RAW, QEMU_EXTENDED_KEY] });
    await client.waitForScreen(() => client.extendedKeys);
  });
});

describe("a reader that is too slow", () => {
  it("holds one update, however often it asks and however much changes", async () => {
    const sent: Buffer[] = [];
    let written = 0;
    const stalled = new Duplex({
      read() {},
      // Takes all and never says that it has gone.
      write(chunk: Buffer, _encoding, done) {
        sent.push(chunk);
        written += chunk.length;
        if (written < 100) done();
      },
    });
    const screen = stillScreen();
    new RfbConnection(stalled, { display: screen, name: "x", log: () => {} });
    stalled.push(HELLO);
    const request = Buffer.from([3, 0, 0, 0, 0, 0, WIDTH >> 8, WIDTH & 255, HEIGHT >> 8, HEIGHT & 255]);
    for (let i = 0; i < 500; i++) {
      stalled.push(request);
      screen.key(0x61 + (i % 26), true, null);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(stalled.writableLength).toBeLessThan(FULL_RAW_BYTES + 1000);
    expect(sent.filter((chunk) => chunk.length > 1000)).toHaveLength(1);
    stalled.destroy();
  });
});

describe("RfbServer", () => {
  async function listen(screen = stillScreen()) {
    const folder = await mkdtemp(join(tmpdir(), "edgenova-rfb-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    const { logs, log } = recorder();
    const server = await RfbServer.listen({ path: join(folder, "vnc.sock"), display: screen, name: "s", log });
    cleanups.push(() => server.close());
    return { server, logs };
  }

  it("serves a unix socket to several clients and ends them all when it closes", async () => {
    const { server } = await listen();
    const clients = Array.from({ length: 4 }, () => RfbClient.over(connect(server.path), { encodings: [ZRLE] }));
    for (const client of clients) {
      await client.ready();
      client.watch();
    }
    for (const client of clients) await client.waitForScreen((seen) => seen.rgb(30, 16) === 0xff8b3d);
    expect(server.clients).toBe(4);
    await server.close();
    for (const client of clients) await client.waitForEnd();
    await server.close();
  });

  it("forgets clients that leave, and takes no more than its limit", async () => {
    const { server, logs } = await listen();
    const sockets = Array.from({ length: MAX_CLIENTS }, () => connect(server.path));
    await Promise.all(sockets.map((socket) => once(socket, "data")));
    const late = connect(server.path);
    late.on("error", () => {});
    await once(late, "close");
    expect(logs).toMatchObject([{ event: "rfb.client_refused" }]);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => server.clients).toBe(0);
    await RfbClient.over(connect(server.path)).ready();
  });

  it("survives clients that vanish in the middle of an update", async () => {
    const { server } = await listen();
    for (let i = 0; i < 10; i++) {
      const socket = connect(server.path);
      const client = RfbClient.over(socket, { encodings: [i % 2 === 0 ? ZRLE : RAW] });
      await client.ready();
      client.requestUpdate(false);
      if (i > 4) await once(socket, "data");
      socket.destroy();
    }
    const client = RfbClient.over(connect(server.path));
    await client.ready();
  });
});
