/** What an agent's monitors measure, and what becomes of those that do not: unknown, broken, silent, hostile. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { cpuMonitor } from "../../agent/monitors/cpu.ts";
import { loadMonitors } from "../../agent/monitors/load.ts";
import { Measuring } from "../../agent/monitors/measuring.ts";
import type { Monitor } from "../../agent/monitors/monitor.ts";
import { metrics } from "../../functions/protocol/resources.ts";
import { ROOT } from "../edge.ts";
import { recordingLog, temporaryDir } from "./agent-support.ts";

describe("cpu.virt_driver", () => {
  function clocked(mhz = 2000) {
    const world = { now: 0, stat: "cpu  100 10 50 800 20 5 15 9 9 9\ncpu0 1 2 3 4 5 6 7\n", mhz };
    const source = { stat: async () => world.stat, mhz: async () => world.mhz, now: () => world.now };
    return { world, monitor: cpuMonitor(source) };
  }

  it("gives nanoseconds since the boot, and percentages of what was since it measured last", async () => {
    const { world, monitor } = clocked();
    expect(await monitor.measure()).toEqual({
      "cpu.frequency": 2000,
      "cpu.user.time": 1_100_000_000,
      "cpu.kernel.time": 700_000_000,
      "cpu.idle.time": 8_000_000_000,
      "cpu.iowait.time": 200_000_000,
      "cpu.user.percent": 11,
      "cpu.kernel.percent": 7,
      "cpu.idle.percent": 80,
      "cpu.iowait.percent": 2,
      "cpu.percent": 20,
    });
    world.now = 60_000;
    world.stat = "cpu  150 10 50 830 20 5 35 0 0 0";
    expect(await monitor.measure()).toMatchObject({
      "cpu.user.percent": 50,
      "cpu.kernel.percent": 20,
      "cpu.idle.percent": 30,
      "cpu.iowait.percent": 0,
      "cpu.percent": 70,
    });
  });
  it("gives the same again within a second, and no percentage that is none of a clock that stands or goes back", async () => {
    const { world, monitor } = clocked();
    const first = await monitor.measure();
    world.stat = "cpu  900 0 0 0 0 0 0 0 0 0";
    world.now = 999;
    expect(await monitor.measure()).toEqual(first);
    world.stat = "cpu  0 0 0 0 0 0 0 0 0 0";
    world.now = 60_000;
    expect(await monitor.measure()).toMatchObject({ "cpu.percent": 0, "cpu.idle.percent": 0 });
  });
  it("says no frequency where nobody knows it, and fails in words where the kernel tells nothing", async () => {
    const { world, monitor } = clocked(0);
    expect(await monitor.measure()).not.toHaveProperty("cpu.frequency");
    world.now = 60_000;
    world.stat = "intr 5";
    await expect(monitor.measure()).rejects.toThrow("no line of all processors");
  });
  it("measures this machine", async () => {
    const found = metrics.parse(await cpuMonitor().measure());
    expect(Object.keys(found)).toEqual(expect.arrayContaining(["cpu.percent", "cpu.idle.time"]));
    expect(found["cpu.idle.time"]).toBeGreaterThan(0);
  });
});

describe("the monitors that run", () => {
  const named = async (toml: string) => (await loadMonitors(parseConfig(toml))).map(({ name }) => name);
  const folder = (files: Record<string, string>) => {
    const dir = join(temporaryDir(), "monitors");
    mkdirSync(dir);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    return `compute_monitors_path = ${JSON.stringify(dir)}\n`;
  };

  it("are none unless they are named", async () => {
    expect(await named("")).toEqual([]);
    expect(await named('compute_monitors = ["cpu.virt_driver", "cpu.virt_driver"]')).toEqual(["cpu.virt_driver"]);
  });
  it("may be one's own, of a folder", async () => {
    const path = JSON.stringify(join(ROOT, "test/examples/monitors"));
    const toml = `compute_monitors = ["load.average"]\ncompute_monitors_path = ${path}`;
    const [monitor] = await loadMonitors(parseConfig(toml));
    expect(monitor?.name).toBe("load.average");
    expect(Object.keys((await monitor?.measure()) ?? {})).toEqual(["load.1m", "load.5m", "load.15m"]);
  });
  it.each([
    ["an unknown name", () => 'compute_monitors = ["cpu.vrit"]', "cpu.vrit is not one of cpu.virt_driver"],
    ["a folder that is not there", () => 'compute_monitors_path = "/nowhere"', "cannot read compute_monitors_path"],
    ["a file without one", () => folder({ "a.ts": "export const a = 1;", "notes.md": "" }), "exports no monitor"],
    ["a file that is no module", () => folder({ "a.mjs": "export const = 1" }), "a.mjs: "],
    ["one that fails at once", () => folder({ "a.mjs": "throw new Error('no sensor')" }), "a.mjs: Error: no sensor"],
    [
      "two of one name",
      () => folder({ "a.mjs": "export const a = { name: 'cpu.virt_driver', measure() {} }" }),
      "another monitor cpu.virt_driver",
    ],
  ])("are refused with %s, in words", async (_, toml, words) => {
    await expect(loadMonitors(parseConfig(toml()))).rejects.toThrow(words);
  });
});

describe("measuring", () => {
  const GOOD: Monitor = { name: "good.one", measure: () => ({ good: 1 }) };
  async function beside(measure: () => unknown) {
    const { log, lines } = recordingLog();
    const bad = { name: "bad.one", measure } as Monitor;
    return { found: await new Measuring([bad, GOOD], log, 20).measure(), lines };
  }

  it("without monitors gives nothing, not even nothing measured", async () => {
    expect(await new Measuring([], recordingLog().log).measure()).toBeNull();
  });
  it.each<[string, () => unknown, object]>([
    ["throws", () => JSON.parse("no"), { event: "monitor.failed", message: expect.stringContaining("SyntaxError") }],
    ["rejects with nothing", () => Promise.reject(), { event: "monitor.failed" }],
    ["gives null", () => null, { event: "monitor.failed", message: expect.stringContaining("no object") }],
    ["never answers", () => new Promise(() => {}), { event: "monitor.failed", monitor: "bad.one" }],
    [
      "gives no numbers",
      () => ({ a: Number.NaN, b: "1", c: 1e308, d: Infinity }),
      { event: "monitor.rubbish", count: 4 },
    ],
    ["gives names that are none", () => ({ "": 1, "a b": 1, [`x${"y".repeat(64)}`]: 1 }), { count: 3 }],
  ])("leaves out one that %s, says so, and keeps the others'", async (_, measure, line) => {
    const { found, lines } = await beside(measure);
    expect(found).toEqual({ good: 1 });
    expect(lines).toMatchObject([line]);
  });
  it("keeps of a thousand values as many as the edge takes", async () => {
    const thousand = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`m${at}`, at]));
    const { found, lines } = await beside(() => thousand);
    expect(Object.keys(found ?? {})).toHaveLength(64);
    expect(metrics.safeParse(found).success).toBe(true);
    expect(lines.map(({ event }) => event)).toEqual(["monitor.cut", "metrics.cut"]);
  });
  it("asks one that is at it still not again, and waits for it once only", async () => {
    const { log, lines } = recordingLog();
    let asked = 0;
    let answer: ((found: object) => void) | undefined;
    const measure = () => {
      asked++;
      return new Promise((resolve) => {
        answer = resolve;
      });
    };
    const measuring = new Measuring([{ name: "slow.one", measure } as Monitor], log, 20);
    expect(await Promise.all([measuring.measure(), measuring.measure()])).toEqual([{}, {}]);
    expect(await measuring.measure()).toEqual({});
    expect(asked).toBe(1);
    expect(lines.at(-1)?.message).toContain("has not answered yet");
    answer?.({ a: 1 });
    await new Promise(setImmediate);
    const next = measuring.measure();
    answer?.({ a: 2 });
    expect(await next).toEqual({ a: 2 });
    expect(asked).toBe(2);
  });
});
