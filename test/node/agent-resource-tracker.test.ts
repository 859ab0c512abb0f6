import { beforeEach, describe, expect, it } from "vitest";
import { Measuring } from "../../agent/monitors/measuring.ts";
import { isNews, ResourceTracker } from "../../agent/resource-tracker.ts";
import type { FromAgent } from "../../functions/protocol/frames.ts";
import type { Inventory } from "../../functions/protocol/guest.ts";
import type { Metrics } from "../../functions/protocol/resources.ts";
import { recordingLog } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

let driver: TinyDriver;
let measured: Metrics;
let sent: FromAgent[];
let up: boolean;
const send = (frame: FromAgent) => {
  if (up) sent.push(frame);
  return up;
};
const trackerOf = (config = {}, inbound: Inventory["migration_inbound"] | null = null) => {
  const measuring = new Measuring([{ name: "a.monitor", measure: () => measured }], recordingLog().log);
  return new ResourceTracker({ driver, measuring, config, inbound, send });
};

beforeEach(() => {
  driver = new TinyDriver();
  measured = { "cpu.percent": 10, "cpu.idle.time": 1_000_000, load: 0.5 };
  sent = [];
  up = true;
});

it("sends the inventory when it is not what the edge heard last", async () => {
  const tracker = trackerOf();
  expect(await tracker.inventory()).toMatchObject({ ...driver.inventory, metrics: measured });
  await tracker.update();
  expect(sent).toEqual([]);
  driver.inventory = { ...driver.inventory, vcpus: 16 };
  up = false;
  await tracker.update();
  up = true;
  await tracker.update();
  await tracker.update();
  expect(sent).toEqual([{ t: "inventory", inventory: expect.objectContaining(driver.inventory) }]);
});

it("tells what the host's own options say, and nothing where they say nothing", async () => {
  const said = { cpu_allocation_ratio: 2, reserved_host_memory_mb: 0 };
  expect((await trackerOf({ ...said, max_concurrent_builds: 3 }).inventory()).options).toEqual(said);
  expect(await trackerOf().inventory()).not.toHaveProperty("options");
});

it("tells where guests may come in, if they may without the edge", async () => {
  const inbound = { address: "192.0.2.7", port: 16_515 };
  expect((await trackerOf({}, inbound).inventory()).migration_inbound).toEqual(inbound);
  expect(await trackerOf().inventory()).not.toHaveProperty("migration_inbound");
});

it.each([
  ["vcpus", { vcpus: -1 }],
  ["memory_mb", { memory_mb: 1e308 }],
  ["local_gb", { local_gb: "much" as unknown as number }],
  ["cpu_info.topology", { cpu_info: { vendor: "", model: "", arch: "x", features: [] } as never }],
])("names the %s that a hypervisor tells wrong, before the edge ends the link for it", async (where, wrong) => {
  driver.inventory = { ...driver.inventory, ...wrong };
  await expect(trackerOf().inventory()).rejects.toThrow(`the hypervisor tells of a wrong ${where}`);
});

describe("metrics", () => {
  const of = (metrics: Metrics) => ({ ...driver.inventory, metrics });
  it.each<[string, Metrics, Metrics, boolean]>([
    ["one that stands", { a: 5 }, { a: 5 }, false],
    ["a percentage, by a point", { "cpu.percent": 0 }, { "cpu.percent": 1 }, false],
    ["a percentage, by more", { "cpu.percent": 98 }, { "cpu.percent": 96 }, true],
    ["a clock, by a little", { t: 1e15 }, { t: 1.005e15 }, false],
    ["a clock, by much", { t: 1e15 }, { t: 1.02e15 }, true],
    ["a fraction", { f: 0.2 }, { f: 0.21 }, true],
    ["one below nothing", { f: -100 }, { f: -99.5 }, false],
    ["one that was not there", {}, { a: 0 }, true],
    ["one that is no more", { a: 0 }, {}, true],
  ])("are news: %s", (_, was, is, news) => {
    expect(isNews(of(was), of(is))).toBe(news);
  });
  it("that crept away from what was told are told", async () => {
    const tracker = trackerOf();
    await tracker.inventory();
    for (const percent of [11, 11, 12]) {
      measured = { ...measured, "cpu.percent": percent };
      await tracker.update();
    }
    expect(sent).toMatchObject([{ inventory: { metrics: { "cpu.percent": 12 } } }]);
  });
});
