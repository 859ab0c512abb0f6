/** The agent's half of a snapshot, against an edge that loses connections, parts and images. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { Snapshots } from "../../agent/snapshots.ts";
import { OTHER, recordingLog, SERVER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

const IMAGE = "44444444-4444-4444-8444-444444444444";
const PART = 5 * 1024 * 1024;
const DISK = randomBytes(3 * PART + 7);
const NEVER = new AbortController().signal;
const sha512 = (bytes: Uint8Array) => createHash("sha512").update(bytes).digest("hex");

/** An edge that keeps parts in memory. */
class PartsEdge {
  readonly parts = new Map<number, Buffer>();
  readonly asked: string[] = [];
  readonly bearers = new Set<string | undefined>();
  state: object | null = null;
  end = "active";
  /** Takes a request over; false lets it be answered. */
  meddle: (request: IncomingMessage, response: ServerResponse, key: string) => boolean = () => false;
  readonly #server: Server = createServer((request, response) => void this.#answer(request, response));

  async start(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
  get bytes(): Buffer {
    return Buffer.concat([...this.parts].sort(([a], [b]) => a - b).map(([, part]) => part));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = `${request.method} ${request.url?.replace(`/agent/v1/images/${IMAGE}/file`, "")}`;
    this.asked.push(key);
    this.bearers.add(request.headers.authorization);
    if (this.meddle(request, response, key)) return;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;
    }
    if (request.method === "PUT") {
      this.parts.set(Number(request.url?.split("/").at(-1)), Buffer.concat(chunks));
      response.writeHead(204).end();
    } else if (request.method === "POST") {
      response.end(`   ${JSON.stringify({ result: this.end })}`);
    } else {
      const open = { active: false, part_bytes: PART, parts: [...this.parts.keys()] };
      response.end(JSON.stringify(this.state ?? open));
    }
  }
}

let edge: PartsEdge;
let dir: string;
let driver: TinyDriver;
let logged: ReturnType<typeof recordingLog>;

beforeEach(async () => {
  edge = await new PartsEdge().start();
  dir = join(temporaryDir(), "snapshots");
  driver = new TinyDriver();
  driver.disk = DISK;
  driver.guests.set(SERVER, 1);
  logged = recordingLog();
  return () => edge.stop();
});

async function start(maxSnapshots = 5): Promise<Snapshots> {
  const identity = { edge: edge.url, assertion: async () => "signed" };
  const retry = { baseMs: 1, capMs: 5 };
  const snapshots = new Snapshots({ dir, driver, identity, log: logged.log, retry, maxSnapshots });
  await snapshots.init();
  return snapshots;
}
const puts = () => edge.asked.filter((key) => key.startsWith("PUT"));

describe("a snapshot", () => {
  it("is taken, hashed, and uploaded in parts; its file then goes", async () => {
    const snapshots = await start();
    const file = await snapshots.take(SERVER, IMAGE, NEVER);
    expect(file).toEqual({ disk_format: "raw", size: DISK.length, sha512: sha512(DISK) });
    expect(readdirSync(dir)).toEqual([`${SERVER}.${IMAGE}`]);
    await snapshots.upload(SERVER, IMAGE, NEVER);
    expect(edge.asked).toEqual(["GET ", "PUT /1", "PUT /2", "PUT /3", "PUT /4", "POST "]);
    expect([...edge.bearers]).toEqual(["Bearer signed"]);
    expect(edge.bytes.equals(DISK)).toBe(true);
    expect(readdirSync(dir)).toEqual([]);
  });

  it("starts over when it is taken again, and leaves nothing when it fails", async () => {
    const snapshots = await start();
    await snapshots.take(SERVER, "55555555-5555-4555-8555-555555555555", NEVER);
    await snapshots.take(SERVER, IMAGE, NEVER);
    expect(readdirSync(dir)).toEqual([`${SERVER}.${IMAGE}`]);
    driver.guests.clear();
    await expect(snapshots.take(SERVER, IMAGE, NEVER)).rejects.toMatchObject({ code: "InstanceNotFound" });
    expect(readdirSync(dir)).toEqual([]);
  });

  it("that is aborted in the middle leaves nothing", async () => {
    const snapshots = await start();
    const stop = new AbortController();
    driver.copying = async (signal) => {
      stop.abort(new Error("deleted"));
      signal.throwIfAborted();
    };
    await expect(snapshots.take(SERVER, IMAGE, stop.signal)).rejects.toThrow("deleted");
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe("an upload that is cut off", () => {
  it("goes on with the parts that the edge lacks", async () => {
    const snapshots = await start();
    await snapshots.take(SERVER, IMAGE, NEVER);
    let cut = 0;
    edge.meddle = (request, response, key) => {
      if (key === "PUT /3" && cut++ < 2) {
        request.once("data", () => request.destroy());
        return true;
      }
      if (key === "POST " && cut++ < 4) {
        // The answer is lost in the middle.
        response.write("  ", () => response.destroy());
        return true;
      }
      return false;
    };
    await snapshots.upload(SERVER, IMAGE, NEVER);
    expect(puts()).toEqual(["PUT /1", "PUT /2", "PUT /3", "PUT /3", "PUT /3", "PUT /4"]);
    expect(edge.bytes.equals(DISK)).toBe(true);
    expect(logged.lines).toContainEqual(expect.objectContaining({ event: "snapshot.uploaded", sent: 4 }));
  });

  it("by the agent's stop keeps its file, and the next agent goes on", async () => {
    const first = await start();
    await first.take(SERVER, IMAGE, NEVER);
    edge.meddle = (_request, _response, key) => key === "PUT /3";
    const upload = first.upload(SERVER, IMAGE, NEVER);
    upload.catch(() => undefined);
    await until(() => edge.asked.includes("PUT /3"), "the third part");
    first.stop();
    await expect(upload).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    edge.meddle = () => false;
    edge.asked.length = 0;
    await (await start()).upload(SERVER, IMAGE, NEVER);
    expect(puts()).toEqual(["PUT /3", "PUT /4"]);
    expect(edge.bytes.equals(DISK)).toBe(true);
    expect(readdirSync(dir)).toEqual([]);
  });

  it("by a destroy ends at once", async () => {
    const snapshots = await start();
    await snapshots.take(SERVER, IMAGE, NEVER);
    const stop = new AbortController();
    edge.meddle = (_request, _response, key) => key === "PUT /2";
    const upload = snapshots.upload(SERVER, IMAGE, stop.signal);
    upload.catch(() => undefined);
    await until(() => edge.asked.includes("PUT /2"), "the second part");
    stop.abort(new Error("deleted"));
    await expect(upload).rejects.toThrow("deleted");
    expect(readdirSync(dir)).toEqual([]);
  });

  it("after its end, before that was written down, is over", async () => {
    const snapshots = await start();
    edge.state = { active: true };
    await snapshots.upload(SERVER, IMAGE, NEVER);
    expect(edge.asked).toEqual(["GET "]);
  });
});

describe("an upload that fails", () => {
  const gone = { code: "ImageUnacceptable", message: expect.stringContaining("does not exist any more") };
  const unexpected = (message: string) => ({ code: "Unexpected", message: expect.stringContaining(message) });

  it.each([
    ["the image is gone", 404, gone, 1],
    ["the host may not", 403, unexpected("the edge answered 403"), 1],
    ["the edge is broken", 500, unexpected("the edge answered 500"), 21],
  ])("because %s removes its file", async (_what, status, error, times) => {
    const snapshots = await start();
    await snapshots.take(SERVER, IMAGE, NEVER);
    edge.meddle = (_request, response) => {
      response.writeHead(status).end();
      return true;
    };
    await expect(snapshots.upload(SERVER, IMAGE, NEVER)).rejects.toMatchObject(error);
    expect(edge.asked).toHaveLength(times);
    expect(readdirSync(dir)).toEqual([]);
  });

  it.each([
    ["gone", gone],
    ["mismatch", unexpected("other bytes")],
  ])("at its end with %s removes its file", async (end, error) => {
    const snapshots = await start();
    await snapshots.take(SERVER, IMAGE, NEVER);
    edge.end = end;
    await expect(snapshots.upload(SERVER, IMAGE, NEVER)).rejects.toMatchObject(error);
    expect(readdirSync(dir)).toEqual([]);
  });

  it("for want of its file says so, and takes no nonsense from the edge", async () => {
    const snapshots = await start();
    await expect(snapshots.upload(SERVER, IMAGE, NEVER)).rejects.toMatchObject(unexpected("file is gone"));
    edge.state = { active: false, part_bytes: 1, parts: [] };
    await expect(snapshots.upload(SERVER, IMAGE, NEVER)).rejects.toMatchObject(
      unexpected("could not be uploaded: the edge's answer"),
    );
  });
});

it("cleans up what crashes left: halves at the start, whole files with their guest or when they are old", async () => {
  const snapshots = await start();
  const [old, half] = [`${OTHER}.${IMAGE}`, `${OTHER}.${IMAGE}.x.part`];
  await snapshots.take(SERVER, IMAGE, NEVER);
  writeFileSync(join(dir, old), "old");
  utimesSync(join(dir, old), 0, 0);
  writeFileSync(join(dir, half), "half");
  await start();
  expect(readdirSync(dir)).toEqual([`${SERVER}.${IMAGE}`]);
  writeFileSync(join(dir, old), "new");
  await snapshots.forget(SERVER);
  expect(readdirSync(dir)).toEqual([old]);
});
