/**
 * What the host's processors do (nova/compute/monitors/cpu/virt_driver.py): times in nanoseconds since the host booted,
 * percentages as whole numbers of 0 to 100 since they were measured last, at first since it booted, and MHz.
 */
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import type { Metrics } from "../../functions/protocol/resources.ts";
import type { Monitor } from "./monitor.ts";

/** /proc/stat counts in hundredths of a second, on every machine that Linux runs on (proc(5): USER_HZ). */
const NS_PER_TICK = 10_000_000;
/** Two readings closer than this are one: of a few ticks no percentage can be made. */
const MIN_INTERVAL_MS = 1000;
const NONE: Times = { user: 0, kernel: 0, idle: 0, iowait: 0 };

type Times = { user: number; kernel: number; idle: number; iowait: number };
type Source = {
  /** The text of /proc/stat. */
  stat(): Promise<string>;
  /** 0 where nobody knows. */
  mhz(): Promise<number>;
  now(): number;
};

export function cpuMonitor(source: Source = HOST): Monitor {
  let last: { at: number; times: Times; metrics: Metrics } | undefined;
  return {
    name: "cpu.virt_driver",
    async measure() {
      const at = source.now();
      if (last && Math.abs(at - last.at) < MIN_INTERVAL_MS) return last.metrics;
      const times = timesOf(await source.stat());
      const metrics = metricsOf(times, last?.times ?? NONE, await source.mhz());
      last = { at, times, metrics };
      return metrics;
    },
  };
}

/** The sums over all processors, nanoseconds, divided as libvirt does: virNodeGetCPUStats. */
function timesOf(stat: string): Times {
  const line = /^cpu +(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)/m.exec(stat);
  if (line === null) throw new Error("/proc/stat has no line of all processors");
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0] = line.slice(1).map(Number);
  const ticks = { user: user + nice, kernel: system + irq + softirq, idle, iowait };
  return {
    user: ticks.user * NS_PER_TICK,
    kernel: ticks.kernel * NS_PER_TICK,
    idle: ticks.idle * NS_PER_TICK,
    iowait: ticks.iowait * NS_PER_TICK,
  };
}

function metricsOf(times: Times, before: Times, mhz: number): Metrics {
  const since = (name: keyof Times) => Math.max(0, times[name] - before[name]);
  const used = since("user") + since("kernel") + since("iowait");
  const total = used + since("idle");
  const percent = (part: number) => (total === 0 ? 0 : Math.floor((part / total) * 100));
  return {
    ...(mhz > 0 ? { "cpu.frequency": mhz } : {}),
    "cpu.user.time": times.user,
    "cpu.kernel.time": times.kernel,
    "cpu.idle.time": times.idle,
    "cpu.iowait.time": times.iowait,
    "cpu.user.percent": percent(since("user")),
    "cpu.kernel.percent": percent(since("kernel")),
    "cpu.idle.percent": percent(since("idle")),
    "cpu.iowait.percent": percent(since("iowait")),
    "cpu.percent": percent(used),
  };
}

const MAX_FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq";
const HOST: Source = {
  stat: () => readFile("/proc/stat", "utf8"),
  /** The most that a processor does: what it does at the moment changes all the time, and says nothing of the host. */
  async mhz() {
    const khz = Number(await readFile(MAX_FREQUENCY, "utf8").catch(() => 0));
    return Math.round(khz > 0 ? khz / 1000 : (cpus()[0]?.speed ?? 0));
  },
  now: () => performance.now(),
};
