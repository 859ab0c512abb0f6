/** When the image cache gives up an image, and that it never does while anyone needs it. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { ImageCache } from "../../agent/images.ts";
import type { ImageRef } from "../../functions/protocol/methods.ts";
import { ScriptedEdge } from "./agent-scripted-edge.ts";
import { gate, type LogLine, recordingLog, temporaryDir } from "./agent-support.ts";

const BYTES = randomBytes(4096);
const REF: ImageRef = {
  id: "33333333-3333-4333-8333-333333333333",
  disk_format: "raw",
  size: BYTES.length,
  sha512: createHash("sha512").update(BYTES).digest("hex"),
};
const NEVER = new AbortController().signal;
const DAY_MS = 86_400_000;

let dir: string;
let edge: ScriptedEdge;
let lines: LogLine[];
let used: () => Promise<ReadonlySet<string>>;
let path: string;
beforeEach(async () => {
  edge = await new ScriptedEdge().start();
  edge.image = (_id, response) => void response.writeHead(200).end(BYTES);
  dir = join(temporaryDir(), "images");
  path = join(dir, REF.sha512);
  used = async () => new Set();
  return () => edge.stop();
});

function cache(toml = ""): ImageCache {
  const recorded = recordingLog();
  lines = recorded.lines;
  const config = parseConfig(`[image_cache]\n${toml}`).image_cache;
  const identity = { edge: edge.url, assertion: async () => "signed" };
  return new ImageCache({ dir, config, used: () => used(), identity, log: recorded.log, retry: { baseMs: 1 } });
}
const AT_ONCE = "remove_unused_original_minimum_age_seconds = 0";

it("goes a day after it was used last, by default", async () => {
  const images = cache();
  await images.get(REF, NEVER);
  const usedMs = statSync(path).mtimeMs;
  await images.prune(usedMs + DAY_MS - 1000);
  expect(existsSync(path)).toBe(true);
  await images.prune(usedMs + DAY_MS + 1000);
  expect(readdirSync(dir)).toEqual([]);
  expect(lines).toContainEqual({ event: "image.removed", sha512: REF.sha512, bytes: REF.size, unused_s: 86_401 });
  await images.get(REF, NEVER);
  expect(edge.imageRequests).toHaveLength(2);
});

it("is used by who asks for it, and by a guest at each look", async () => {
  const images = cache();
  await images.get(REF, NEVER);
  const long = new Date(Date.now() - 10 * DAY_MS);
  utimesSync(path, long, long);
  await images.get(REF, NEVER);
  await images.prune();
  expect(existsSync(path)).toBe(true);
  used = async () => new Set([REF.sha512]);
  const later = Date.now() + 10 * DAY_MS;
  await images.prune(later);
  expect(statSync(path).mtimeMs).toBe(later);
  used = async () => new Set();
  await images.prune(later + DAY_MS - 1000);
  expect(existsSync(path)).toBe(true);
});

it("stays where it is not to be removed, and where nobody can tell who uses it", async () => {
  const kept = cache(`remove_unused_base_images = false\n${AT_ONCE}`);
  await kept.get(REF, NEVER);
  await kept.prune(Date.now() + 10 * DAY_MS);
  expect(existsSync(path)).toBe(true);
  used = () => Promise.reject(new Error("libvirt is away"));
  await expect(cache(AT_ONCE).prune(Date.now() + 10 * DAY_MS)).rejects.toThrow("libvirt is away");
  expect(existsSync(path)).toBe(true);
});

it("stays for a build that has its path and no guest yet", async () => {
  const images = cache(AT_ONCE);
  const overlay = gate();
  const building = images.during(async () => {
    await images.get(REF, NEVER);
    await images.prune(Date.now() + 10 * DAY_MS);
    await overlay.opened;
  });
  await images.during(async () => images.prune(Date.now() + 10 * DAY_MS));
  overlay.open();
  await building;
  expect(existsSync(path)).toBe(true);
  await images.prune(Date.now() + 10 * DAY_MS);
  expect(existsSync(path)).toBe(false);
});

it("stays for a build that began and ended while the guests were looked at", async () => {
  const images = cache(AT_ONCE);
  await images.get(REF, NEVER);
  used = async () => {
    await images.during(() => images.get(REF, NEVER));
    return new Set();
  };
  await images.prune(Date.now() + 10 * DAY_MS);
  expect(existsSync(path)).toBe(true);
});

it("leaves alone what is no image", async () => {
  const images = cache(AT_ONCE);
  const answered = gate();
  edge.image = async (_id, response) => {
    response.writeHead(200).write(BYTES.subarray(0, 100));
    await images.prune(Date.now() + 10 * DAY_MS);
    response.end(BYTES.subarray(100));
    answered.open();
  };
  expect(await images.get(REF, NEVER)).toBe(path);
  await answered.opened;
});
