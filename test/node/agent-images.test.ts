import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { ImageCache, type ImageCacheOptions } from "../../agent/images.ts";
import type { ImageRef } from "../../functions/protocol/methods.ts";
import { ScriptedEdge } from "./agent-scripted-edge.ts";
import { gate, recordingLog, temporaryDir, until } from "./agent-support.ts";

const BYTES = randomBytes(300_000);
const REF: ImageRef = {
  id: "33333333-3333-4333-8333-333333333333",
  disk_format: "raw",
  size: BYTES.length,
  sha512: createHash("sha512").update(BYTES).digest("hex"),
};
const NEVER = new AbortController().signal;

/** The raw image that `bytes` are, with an id of its own. */
const refOf = (bytes: Buffer, n: number): ImageRef => ({
  id: `33333333-3333-4333-8333-00000000000${n}`,
  disk_format: "raw",
  size: bytes.length,
  sha512: createHash("sha512").update(bytes).digest("hex"),
});

let edge: ScriptedEdge;
let dir: string;
beforeEach(async () => {
  edge = await new ScriptedEdge().start();
  edge.image = (_id, response) => void response.writeHead(200).end(BYTES);
  dir = join(temporaryDir(), "images");
  return () => edge.stop();
});

function cache(over: Partial<ImageCacheOptions> = {}): ImageCache {
  const identity = { edge: edge.url, assertion: async () => "signed" };
  const config = parseConfig("").image_cache;
  const { log } = recordingLog();
  const retry = { baseMs: 1, capMs: 5 };
  return new ImageCache({ dir, config, used: async () => new Set(), identity, log, retry, ...over });
}

describe("an image", () => {
  it("is downloaded once however many ask, verified, and readable for QEMU", async () => {
    const images = cache();
    const paths = await Promise.all([images.get(REF, NEVER), images.get(REF, NEVER), images.get(REF, NEVER)]);
    expect(new Set(paths)).toEqual(new Set([join(dir, REF.sha512)]));
    expect(readFileSync(paths[0]!).equals(BYTES)).toBe(true);
    expect([statSync(paths[0]!).mode & 0o777, statSync(dir).mode & 0o777]).toEqual([0o644, 0o711]);
    await cache().get(REF, NEVER);
    expect(edge.imageRequests).toEqual([REF.id]);
  });

  it.each([
    ["other bytes of the same length", Buffer.alloc(REF.size), "does not have its sha512"],
    ["too many bytes", Buffer.concat([BYTES, Buffer.alloc(1)]), "is longer than"],
    ["too few bytes", BYTES.subarray(1), "ended after 299999 of 300000"],
  ])("is refused when it is %s, and leaves nothing", async (_what, bytes, message) => {
    edge.image = (_id, response) => void response.writeHead(200).end(bytes);
    await expect(cache().get(REF, NEVER)).rejects.toMatchObject({
      code: "ImageUnacceptable",
      message: expect.stringContaining(message),
    });
    expect(readdirSync(dir)).toEqual([]);
  });

  it("that is gone is refused without another try", async () => {
    edge.image = (_id, response) => void response.writeHead(404).end();
    await expect(cache().get(REF, NEVER)).rejects.toMatchObject({ code: "ImageUnacceptable" });
    expect(edge.imageRequests).toHaveLength(1);
  });

  it("is tried again when the way to it breaks, from where it broke off", async () => {
    const ranges: (string | undefined)[] = [];
    edge.image = (_id, response) => {
      const { range } = response.req.headers;
      ranges.push(range);
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
      const part = BYTES.subarray(from, from + 1000);
      const last = from + part.length === BYTES.length;
      response.writeHead(from > 0 ? 206 : 200, { "content-length": BYTES.length - from });
      if (last) response.end(part);
      else response.write(part, () => response.destroy());
    };
    expect(readFileSync(await cache().get(REF, NEVER)).equals(BYTES)).toBe(true);
    const starts = ranges.map((range) => Number(/\d+/.exec(range ?? "0")?.[0]));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts.at(-1)).toBeGreaterThan(0);
  });

  it("is tried from its first byte by an edge that has no parts to give", async () => {
    let tries = 0;
    edge.image = (_id, response) => {
      tries += 1;
      if (tries === 1) response.writeHead(502).end();
      else if (tries === 2)
        response
          .writeHead(200, { "content-length": REF.size })
          .write(BYTES.subarray(0, 1000), () => response.destroy());
      else response.writeHead(200).end(BYTES);
    };
    expect(readFileSync(await cache().get(REF, NEVER)).equals(BYTES)).toBe(true);
    expect(tries).toBe(3);
  });

  it("that cannot be had is the agent's failure after 21 tries, not the image's", async () => {
    edge.image = (_id, response) => void response.writeHead(500).end();
    await expect(cache().get(REF, NEVER)).rejects.toMatchObject({ code: "Unexpected" });
    expect(edge.imageRequests).toHaveLength(21);
  });
});

describe("aborting", () => {
  let responses: ServerResponse[];
  beforeEach(() => {
    responses = [];
    edge.image = (_id, response) => {
      responses.push(response);
      response.writeHead(200).write(BYTES.subarray(0, 1000));
    };
  });

  it("by one who waits leaves the download to the others", async () => {
    const images = cache();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = images.get(REF, one.signal);
    const second = images.get(REF, two.signal);
    await until(() => responses.length === 1, "the download");
    one.abort(new Error("changed my mind"));
    await expect(first).rejects.toThrow("changed my mind");
    responses[0]!.end(BYTES.subarray(1000));
    expect(await second).toBe(join(dir, REF.sha512));
  });

  it("by all ends the download, and the next one starts anew", async () => {
    const images = cache();
    const leave = new AbortController();
    const waiting = images.get(REF, leave.signal);
    await until(() => responses.length === 1, "the download");
    leave.abort(new Error("deleted"));
    await expect(waiting).rejects.toThrow("deleted");
    const again = images.get(REF, NEVER);
    await until(() => responses.length === 2, "the second download");
    await until(() => responses[0]!.destroyed, "the end of the first");
    responses[1]!.end(BYTES.subarray(1000));
    expect(await again).toBe(join(dir, REF.sha512));
    await until(() => readdirSync(dir).length === 1, "only the image");
  });
});

describe("an image that is fetched ahead", () => {
  it("is on its way at once, and there when it is asked for again", async () => {
    const images = cache();
    expect(await images.prefetch(REF)).toBe(false);
    expect(await images.prefetch(REF)).toBe(false);
    await until(() => readdirSync(dir).join() === REF.sha512, "the image");
    expect(await images.prefetch(REF)).toBe(true);
    expect(edge.imageRequests).toEqual([REF.id]);
  });

  it("and cannot be had is told in the log, and tried anew when it is asked for again", async () => {
    edge.image = (_id, response) => void response.writeHead(404).end();
    const { log, events } = recordingLog();
    const images = cache({ log });
    for (let tries = 1; tries <= 2; tries++) {
      expect(await images.prefetch(REF)).toBe(false);
      await until(() => events().filter((it) => it === "image.prefetch_failed").length === tries, "the failure");
    }
    expect(edge.imageRequests).toHaveLength(2);
  });

  it("waits its turn behind another that is fetched ahead, and no build does", async () => {
    const bytes = new Map([BYTES, randomBytes(2000), randomBytes(3000)].map((it, i) => [refOf(it, i).id, it]));
    const [slow, waiting, built] = [...bytes.values()].map(refOf) as [ImageRef, ImageRef, ImageRef];
    const first = gate();
    edge.image = async (id, response) => {
      if (id === slow.id) await first.opened;
      response.writeHead(200).end(bytes.get(id));
    };
    const images = cache();
    for (const ref of [slow, waiting]) expect(await images.prefetch(ref)).toBe(false);
    await images.get(built, NEVER);
    expect(edge.imageRequests).toEqual([slow.id, built.id]);
    first.open();
    await until(() => readdirSync(dir).includes(waiting.sha512), "the second");
    expect(edge.imageRequests).toEqual([slow.id, built.id, waiting.id]);
  });

  it("is given up when the agent stops", async () => {
    const responses: ServerResponse[] = [];
    edge.image = (_id, response) => {
      responses.push(response);
      response.writeHead(200).write(BYTES.subarray(0, 1000));
    };
    const images = cache();
    await images.prefetch(REF);
    await until(() => responses.length === 1, "the download");
    images.close();
    await until(() => responses[0]!.destroyed && readdirSync(dir).length === 0, "the end of it");
  });
});

it("removes what a crash left in the middle", async () => {
  await cache().get(REF, NEVER);
  writeFileSync(join(dir, `${REF.sha512}.x.part`), "half");
  cache();
  expect(readdirSync(dir)).toEqual([REF.sha512]);
});

describe("an image that is no image as it says", () => {
  const qcow2: ImageRef = { ...REF, disk_format: "qcow2" };
  const refused = {
    code: "ImageUnacceptable",
    message: `Image ${REF.id} is unacceptable: it is not qcow2, as its disk format says`,
  };

  it("is refused with a sentence for a person, and leaves nothing", async () => {
    await expect(cache().get(qcow2, NEVER)).rejects.toMatchObject(refused);
    expect(readdirSync(dir)).toEqual([]);
  });

  it("is refused where its bytes are there as an image that they are", async () => {
    const images = cache();
    const path = await images.get(REF, NEVER);
    for (const each of [images, cache()]) await expect(each.get(qcow2, NEVER)).rejects.toMatchObject(refused);
    expect(await images.get(REF, NEVER)).toBe(path);
  });
});

describe("an image that is damaged on the host", () => {
  it.each([
    ["cut", (path: string) => truncateSync(path, 1000)],
    ["changed", (path: string) => writeFileSync(path, Buffer.alloc(REF.size))],
  ])("(%s) is fetched anew by the first who asks after a start", async (_what, damage) => {
    damage(await cache().get(REF, NEVER));
    const { log, lines } = recordingLog();
    const path = await cache({ log }).get(REF, NEVER);
    expect(readFileSync(path).equals(BYTES)).toBe(true);
    expect(lines).toContainEqual({ event: "image.damaged", image: REF.id, path, used: false });
    expect(edge.imageRequests).toHaveLength(2);
  });

  it("is reported and left alone while a guest leans on it", async () => {
    const path = await cache().get(REF, NEVER);
    writeFileSync(path, Buffer.alloc(REF.size));
    const { log, lines } = recordingLog();
    const asked = cache({ log, used: async () => new Set([REF.sha512]) }).get(REF, NEVER);
    await expect(asked).rejects.toMatchObject({ code: "Unexpected", message: expect.stringContaining("is damaged") });
    expect(lines).toContainEqual({ event: "image.damaged", image: REF.id, path, used: true });
    expect(readFileSync(path).equals(Buffer.alloc(REF.size))).toBe(true);
  });
});
