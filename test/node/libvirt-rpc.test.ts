/** The libvirt driver's wire: XDR, frames, and a connection to a libvirtd that is played by the test. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LibvirtError, toDriverError } from "../../agent/drivers/libvirt/errors.ts";
import {
  encodeFrame,
  type Frame,
  FrameReader,
  KEEPALIVE,
  KEEPALIVE_PROGRAM,
  REMOTE_PROGRAM,
  STATUS,
  TYPE,
} from "../../agent/drivers/libvirt/frame.ts";
import { Link } from "../../agent/drivers/libvirt/link.ts";
import { PowerWatch } from "../../agent/drivers/libvirt/power-watch.ts";
import { Libvirt } from "../../agent/drivers/libvirt/procedures.ts";
import { MEMORY_CALL_TIMEOUT_MS, RpcConnection } from "../../agent/drivers/libvirt/rpc.ts";
import { XdrError, XdrReader, XdrWriter } from "../../agent/drivers/libvirt/xdr.ts";
import { Turns } from "../../agent/turns.ts";
import type { PowerState } from "../../functions/protocol/guest.ts";

const word = (...values: number[]) => {
  const writer = new XdrWriter();
  for (const value of values) writer.uint(value);
  return writer.bytes();
};

describe("XDR", () => {
  it("reads back what it wrote, and leaves nothing", () => {
    const item = fc.record({
      n: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      s: fc.string({ unit: "grapheme" }),
    });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), fc.option(fc.string()), fc.uint8Array(), (items, maybe, raw) => {
        const writer = new XdrWriter().uint(items.length);
        for (const { n, s } of items) writer.int(n).string(s);
        writer.optional(maybe, (w, v) => w.string(v)).fixed(raw);
        const reader = new XdrReader(writer.bytes());
        expect(reader.array(20, (r) => ({ n: r.int(), s: r.string() }))).toEqual(items);
        expect(reader.optional((r) => r.string())).toBe(maybe);
        expect(Uint8Array.from(reader.fixed(raw.length))).toEqual(raw);
        expect(reader.remaining).toBe(0);
      }),
    );
  });

  it("answers any bytes with a value or an XdrError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new XdrReader(Buffer.from(bytes));
        try {
          reader.array(1_000, (r) => [r.string(), r.optional((q) => q.hyper()), r.fixed(16)]);
        } catch (error) {
          expect(error).toBeInstanceOf(XdrError);
        }
      }),
    );
  });

  it("reads signed numbers, as far as they are exact", () => {
    expect(new XdrReader(word(0xffff_ffff, 0xffff_ffff)).signedHyper()).toBe(-1);
    expect(new XdrReader(word(0, 7)).signedHyper()).toBe(7);
    expect(() => new XdrReader(word(0x8000_0000, 0)).signedHyper()).toThrow(XdrError);
  });

  it.each([
    ["a string past the message", () => new XdrReader(word(100, 0)).string()],
    ["a string past the limit", () => new XdrReader(word(0xffff_ffff)).string()],
    ["an array past the limit", () => new XdrReader(word(11)).array(10, (r) => r.uint())],
    ["an array past the message", () => new XdrReader(word(10, 1)).array(10, (r) => r.uint())],
    ["an array of 2^32 items", () => new XdrReader(word(0xffff_ffff)).array(2 ** 32, (r) => r.uint())],
    ["a pointer of 2", () => new XdrReader(word(2, 0)).optional((r) => r.uint())],
    ["a number past 2^53", () => new XdrReader(word(0xffff_ffff, 0)).hyper()],
    ["an empty message", () => new XdrReader(Buffer.alloc(0)).uint()],
  ])("refuses %s", (_, read) => {
    expect(read).toThrow(XdrError);
  });
});

const frame = (over: Partial<Frame>): Frame => ({
  program: REMOTE_PROGRAM,
  procedure: 1,
  type: TYPE.REPLY,
  serial: 1,
  status: STATUS.OK,
  payload: Buffer.alloc(0),
  ...over,
});

describe("FrameReader", () => {
  const frames = [frame({}), frame({ serial: 2, payload: Buffer.from("abcd") }), frame({ serial: 3 })];
  const bytes = Buffer.concat(frames.map(encodeFrame));

  it("finds the same frames wherever the stream is cut", () => {
    for (let cut = 0; cut <= bytes.length; cut++) {
      const reader = new FrameReader();
      expect([...reader.push(bytes.subarray(0, cut)), ...reader.push(bytes.subarray(cut))]).toEqual(frames);
    }
    const reader = new FrameReader();
    expect([...bytes].flatMap((byte) => reader.push(Buffer.from([byte])))).toEqual(frames);
  });

  it.each([0, 3, 4, 27, 33_554_433, 0xffff_ffff])("refuses a length of %i before it holds more", (length) => {
    expect(() => new FrameReader().push(word(length))).toThrow(XdrError);
  });

  it("waits for the longest message that may be", () => {
    expect(new FrameReader().push(word(33_554_432))).toEqual([]);
  });
});

describe("RpcConnection", () => {
  let folder: string;
  let server: Server;
  let peer: Socket;
  let rpc: RpcConnection;
  let closed: string[];
  let events: number[];
  let asked: Frame[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "en-rpc-"));
    const path = join(folder, "sock");
    [closed, events, asked] = [[], [], []];
    server = createServer().listen(path);
    await once(server, "listening");
    const accepted = once(server, "connection");
    rpc = await RpcConnection.dial(path, {
      event: (procedure) => void events.push(procedure),
      closed: (reason) => void closed.push(reason),
    });
    [peer] = await accepted;
    const reader = new FrameReader();
    peer.on("data", (chunk: Buffer) => void asked.push(...reader.push(chunk)));
  });

  afterEach(async () => {
    rpc.close();
    peer.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });

  const answer = (over: Partial<Frame>) => peer.write(encodeFrame(frame(over)));

  it("matches answers to calls by serial, in whatever order they come", async () => {
    const [a, b] = [rpc.call(3), rpc.call(4)];
    await expect.poll(() => asked.map((it) => it.procedure)).toEqual([3, 4]);
    answer({ serial: 2, payload: new XdrWriter().string("b").bytes() });
    answer({ serial: 1, payload: new XdrWriter().string("a").bytes() });
    expect([(await a).string(), (await b).string()]).toEqual(["a", "b"]);
  });

  it("gives libvirt's failure by number, and tells the edge nothing of its words", async () => {
    const call = rpc.call(24);
    const payload = new XdrWriter()
      .int(42)
      .int(10)
      .optional("no domain at /secret", (w, v) => w.string(v))
      .bytes();
    answer({ status: STATUS.ERROR, payload });
    const error = await call.catch((it: unknown) => it);
    expect(error).toBeInstanceOf(LibvirtError);
    expect(error).toMatchObject({ code: 42, message: "no domain at /secret" });
    const told = toDriverError(error);
    expect(told.code).toBe("InstanceNotFound");
    expect(told.message).not.toContain("/");
  });

  it("answers a PING with a PONG", async () => {
    answer({ program: KEEPALIVE_PROGRAM, procedure: KEEPALIVE.PING, type: TYPE.MESSAGE, serial: 0 });
    await expect.poll(() => asked).toMatchObject([{ program: KEEPALIVE_PROGRAM, procedure: KEEPALIVE.PONG }]);
  });

  it("has four calls open at most, so that libvirtd goes on reading", async () => {
    const calls = Array.from({ length: 6 }, () => rpc.call(3));
    await expect.poll(() => asked.length).toBe(4);
    for (const serial of [1, 2, 3, 4]) answer({ serial });
    await expect.poll(() => asked.length).toBe(6);
    for (const serial of [5, 6]) answer({ serial });
    await Promise.all(calls);
  });

  it("leaves a place beside calls that may take long", async () => {
    const long = [11, 12, 13, 14].map((procedure) => rpc.call(procedure, Buffer.alloc(0), MEMORY_CALL_TIMEOUT_MS));
    const short = [21, 22].map((procedure) => rpc.call(procedure));
    const seen = () => asked.map(({ procedure }) => procedure);
    await expect.poll(seen).toEqual([11, 12, 13, 21]);
    answer({ serial: 4 });
    await expect.poll(seen).toEqual([11, 12, 13, 21, 22]);
    answer({ serial: 5 });
    await Promise.all(short);
    answer({ serial: 1 });
    await expect.poll(seen).toEqual([11, 12, 13, 21, 22, 14]);
    for (const serial of [2, 3, 6]) answer({ serial });
    await Promise.all(long);
  });

  it("fails what waits when libvirtd goes away, and what comes after", async () => {
    const calls = Array.from({ length: 6 }, () => rpc.call(3).catch((error: unknown) => error));
    await expect.poll(() => asked.length).toBe(4);
    peer.destroy();
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: "HypervisorUnavailable" });
    await expect(rpc.call(3)).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    expect(closed.length).toBe(1);
  });

  it("hangs up on bytes that are no message", async () => {
    const call = rpc.call(3).catch((error: unknown) => error);
    peer.write(word(5, 5, 5));
    expect(await call).toMatchObject({ code: "HypervisorUnavailable" });
    await expect.poll(() => closed.length).toBe(1);
  });

  it("passes over other programs, streams, and answers nobody waits for", async () => {
    answer({ program: 7 });
    answer({ type: 3 });
    answer({ serial: 99 });
    answer({ procedure: 318, type: TYPE.MESSAGE, serial: 0 });
    await expect.poll(() => events).toEqual([318]);
    expect(closed).toEqual([]);
  });

  it("refuses an answer that is shorter than its struct", async () => {
    const call = new Libvirt(rpc).nodeInfo();
    answer({ payload: word(1, 2, 3) });
    const error = await call.catch((it: unknown) => it);
    expect(toDriverError(error)).toMatchObject({ code: "HypervisorUnavailable" });
  });

  it("sends and reads a domain's uuid in libvirt's sixteen bytes", async () => {
    const uuid = "6f1c2a3b-0000-4000-8000-0000000000ff";
    const call = new Libvirt(rpc).lookup(uuid);
    await expect.poll(() => asked[0]?.payload.toString("hex")).toBe(uuid.replaceAll("-", ""));
    const payload = new XdrWriter().string("n").fixed(asked[0]!.payload).int(-1).bytes();
    answer({ payload });
    expect(await call).toEqual({ name: "n", uuid, id: -1 });
  });
});

describe("Link", () => {
  const AUTH_LIST = 66;

  /** A libvirtd that answers every call: AUTH_LIST with `auth`, anything else with zeroes. */
  async function play(auth: number[], use: (path: string, peers: Socket[]) => Promise<void>): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), "en-link-"));
    const peers: Socket[] = [];
    const server = createServer((peer) => {
      peers.push(peer);
      const reader = new FrameReader();
      peer.on("data", (chunk: Buffer) => {
        for (const { procedure, serial } of reader.push(chunk)) {
          const payload = procedure === AUTH_LIST ? word(auth.length, ...auth) : word(0, 0);
          peer.write(encodeFrame(frame({ procedure, serial, payload })));
        }
      });
    }).listen(join(folder, "sock"));
    try {
      await once(server, "listening");
      await use(join(folder, "sock"), peers);
    } finally {
      for (const peer of peers) peer.destroy();
      server.close();
      rmSync(folder, { recursive: true });
    }
  }

  const link = (path: string, restored = () => {}) =>
    new Link(
      { uri: "qemu:///system", driver: "qemu", session: false, sockets: [`${path}.none`, path], startsDaemon: false },
      { lifecycle: () => {}, restored, log: () => {} },
    );

  it("says what to do when libvirt wants polkit", async () => {
    await play([2], async (path) => {
      await expect(link(path).get()).rejects.toMatchObject({
        code: "HypervisorUnavailable",
        message: expect.stringContaining("run the agent as root"),
      });
    });
  });

  it("dials once for many callers, and again by itself when the connection is lost", async () => {
    await play([0], async (path, peers) => {
      let restored = 0;
      const open = link(path, () => restored++);
      const [a, b] = await Promise.all([open.get(), open.get()]);
      expect(a).toBe(b);
      expect(peers.length).toBe(1);
      peers[0]!.destroy();
      await expect.poll(() => restored, { timeout: 5_000 }).toBe(1);
      expect(peers.length).toBe(2);
      open.close();
      await expect(open.get()).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    });
  });
});

describe("PowerWatch", () => {
  it("does not take the STOPPED in the middle of our own reboot for a shutdown", async () => {
    const turns = new Turns();
    let state: PowerState | null = 1;
    const told: unknown[] = [];
    const watch = new PowerWatch(
      (uuid, work) => turns.run(uuid, work),
      async () => state,
    );
    watch.listen((guest) => told.push(guest));
    watch.see("g", 1, "asked");
    await turns.run("g", async () => {
      state = 4;
      watch.hint("g");
      await Promise.resolve();
      state = 1;
      await watch.look("g", "asked");
    });
    await turns.run("g", async () => {});
    expect(told).toEqual([]);
    state = 4;
    watch.hint("g");
    watch.hint("g");
    await turns.run("g", async () => {});
    state = null;
    watch.hint("g");
    await turns.run("g", async () => {});
    expect(told).toEqual([
      { uuid: "g", power_state: 4 },
      { uuid: "g", power_state: 0 },
    ]);
  });

  it("tells nothing of a guest that is coming, and when it has come that it runs", () => {
    const told: unknown[] = [];
    let coming = true;
    const watch = new PowerWatch(
      async () => {},
      async () => null,
      () => coming,
    );
    watch.listen((guest) => told.push(guest.power_state));
    for (const state of [3, 1] as const) watch.see("g", state, "news");
    expect(told).toEqual([]);
    coming = false;
    watch.see("g", 1, "news");
    expect(told).toEqual([1]);
  });

  it("looks again when a hint comes while it reads", async () => {
    const turns = new Turns();
    const told: unknown[] = [];
    const states: PowerState[] = [1, 4];
    const watch: PowerWatch = new PowerWatch(
      (uuid, work) => turns.run(uuid, work),
      async () => {
        if (states.length === 2) watch.hint("g");
        return states.shift() ?? null;
      },
    );
    watch.listen((guest) => told.push(guest.power_state));
    watch.hint("g");
    await turns.run("g", async () => {});
    await turns.run("g", async () => {});
    expect(told).toEqual([1, 4]);
  });
});
