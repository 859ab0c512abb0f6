/** The scheduler at fleets of three sizes: what a decision costs, how many there can be, what the fleet takes to keep and to wake. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "../../agent/up/edge.ts";
import { MIB } from "./bench.ts";
import { startChild } from "./child.ts";
import type { BenchEdgeOptions, BenchEdgeReady } from "./edge-process.ts";
import { NOVA } from "./nova-figures.ts";
import { cpuNs, pss } from "./processes.ts";
import { percentile } from "./statistics.ts";
import { number } from "./table.ts";
import type { Ground } from "./target.ts";
import { bundleWorker, FLEET } from "./worker-bundle.ts";

const FLEETS = [100, 1_000, 10_000] as const;
/** Decisions for one figure: so many that the request which asks for them is nothing beside them. */
const BATCH = 10;
/** Hosts that claims are made on, and how many ask at once. */
const REAL = 200;
const WIDTH = 16;
const WAKES = 5;
const SETTLE_MS = 1000;

const batches = (quick: boolean) => (quick ? 20 : 200);
const placements = (quick: boolean) => (quick ? 400 : 4000);

export const scheduler = {
  name: "scheduler",
  about: (quick: boolean) =>
    `${batches(quick)} times ${BATCH} decisions, ${placements(quick)} placements on ${REAL} real hosts, in fleets of ${FLEETS.join(", ")}`,
  async run(ground: Ground, quick: boolean): Promise<string[][][]> {
    const bundleDir = join(ground.dir, "fleet");
    mkdirSync(bundleDir);
    await bundleWorker(bundleDir, FLEET);
    const columns: string[][] = [];
    for (const hosts of FLEETS) columns.push(await fleet(bundleDir, hosts, quick));
    const head = ["scheduler", ...FLEETS.map((hosts) => `${number(hosts)} hosts`)];
    const rows = NAMES.map((name, at) => [name, ...columns.map((column) => column[at] ?? "-")]);
    const nova = [
      ["Nova 26 with Placement", ...NOVA.decisions.map(({ hosts }) => `${number(hosts)} hosts`)],
      ["a decision, p50", ...NOVA.decisions.map(({ p50 }) => `${number(p50)} ms`)],
    ];
    return [[head, ...rows], nova];
  },
};

const NAMES = [
  "a decision's CPU, p50",
  "a decision's CPU, p99",
  `placements a second, select + claim, ${WIDTH} wide`,
  "CPU of one",
  "a claim's word, taken and written, CPU",
  "memory of the fleet",
  "cold wake, to the first decision",
] as const;

/** A column of the table. */
async function fleet(bundleDir: string, hosts: number, quick: boolean): Promise<string[]> {
  const options: BenchEdgeOptions = { bundleDir, configPath: join(ROOT, "wrangler.toml"), vars: {} };
  const edge = await startChild<BenchEdgeReady>("edge-process", options);
  const { url, workerd } = edge.ready;
  const ask = async (path: string): Promise<Record<string, number>> => {
    const response = await fetch(`${url}/bench/${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return (await response.json()) as Record<string, number>;
  };
  const cpuMs = async (task: () => Promise<unknown>) => {
    const before = cpuNs(workerd);
    await task();
    return (cpuNs(workerd) - before) / 1e6;
  };
  const decide = (times: number) => () => ask(`decide?times=${times}`);
  try {
    await ask("fill?hosts=1");
    await sleep(SETTLE_MS);
    const empty = pss(workerd);
    await ask(`fill?hosts=${hosts}`);
    await sleep(SETTLE_MS);
    const memory = pss(workerd) - empty;
    await decide(20 * BATCH)();
    const decisions: number[] = [];
    for (let i = 0; i < batches(quick); i++) decisions.push((await cpuMs(decide(BATCH))) / BATCH);
    let seq = 2;
    const word = (await cpuMs(() => ask(`claimed?hosts=${hosts}&seq=${seq++}`))) / hosts;
    const wakes: number[] = [];
    for (let i = 0; i < WAKES; i++) {
      await ask("end");
      const startedMs = performance.now();
      await decide(1)();
      wakes.push(performance.now() - startedMs);
    }
    let placed: Record<string, number> = {};
    const count = placements(quick);
    await ask(`place?hosts=${REAL}&count=${count / 10}&width=${WIDTH}`);
    const placing = await cpuMs(async () => {
      placed = await ask(`place?hosts=${REAL}&count=${count}&width=${WIDTH}`);
    });
    const { seconds = Number.NaN, refused = 0 } = placed;
    if (refused > 0) throw new Error(`${refused} claims were refused`);
    return [
      `${number(percentile(decisions, 0.5))} ms`,
      `${number(percentile(decisions, 0.99))} ms`,
      `${number(count / seconds)} /s`,
      `${number(placing / count)} ms`,
      `${number(word * 1000)} us`,
      `${number(memory / MIB)} MiB`,
      `${number(percentile(wakes, 0.5))} ms`,
    ];
  } finally {
    await edge.stop();
  }
}
