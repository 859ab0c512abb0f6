/** The API of an edge with one host of the fake driver, beside what Nova took for the same. */
import { setTimeout as sleep } from "node:timers/promises";
import { ApiClient } from "./api-client.ts";
import { cost } from "./cost.ts";
import { NOVA, type Nova } from "./nova-figures.ts";
import { percentile, timed } from "./statistics.ts";
import { number } from "./table.ts";
import { type Ground, startEdge } from "./target.ts";

const LISTED = 100;
const WIDTHS = [8, 16] as const;
const MIB = 1024 * 1024;
/** For what was started to come to rest. */
const SETTLE_MS = 1000;

const reads = (quick: boolean) => (quick ? 40 : 400);
const creates = (quick: boolean) => (quick ? 16 : 64);
const longList = (quick: boolean) => (quick ? 200 : 1000);

export const api = {
  name: "api",
  about: (quick: boolean) =>
    `${reads(quick)} requests each, ${creates(quick)} for new servers; one host with the fake driver; polled every 5 ms for ACTIVE`,
  /** Tables, each with its head first. */
  async run(ground: Ground, quick: boolean): Promise<string[][][]> {
    return [...(await speed(ground, quick)), await cost(ground, longList(quick))];
  },
};

async function speed(ground: Ground, quick: boolean): Promise<string[][][]> {
  const startedMs = performance.now();
  const edge = await startEdge(ground, null);
  try {
    // The edge has answered: a token for the admin.
    const coldMs = edge.answeredMs - startedMs;
    await sleep(SETTLE_MS);
    const { workerd = 0, agent = 0 } = edge.memory();
    const footprint = [
      ["edge", "", "Nova", "times better"],
      [
        "cold start, to the first answer",
        `${number(coldMs)} ms`,
        `${NOVA.coldStartMs} ms`,
        number(NOVA.coldStartMs / coldMs),
      ],
      compared("idle, workerd and agent, MiB", (workerd + agent) / MIB, NOVA.idleMib),
      compared("processes", edge.processes, NOVA.processes),
    ];
    return [footprint, await latencies(await ApiClient.of(edge), quick)];
  } finally {
    await edge.stop();
  }
}

const compared = (what: string, value: number, nova: number) => [
  what,
  number(value),
  number(nova),
  number(nova / value),
];

/** Lists first, so that there are as many servers as is said. */
async function latencies(api: ApiClient, quick: boolean): Promise<string[][]> {
  const [first = ""] = await api.fill(LISTED);
  const list = () => api.call("GET", "/servers/detail");
  const rows = [
    await measure(`GET /servers/detail, ${LISTED} servers`, reads(quick), list, NOVA.list),
    await measure("GET /servers/{id}", reads(quick), () => api.call("GET", `/servers/${first}`), NOVA.show),
    await measure("POST remote-consoles", reads(quick), () => api.openConsole(first), NOVA.console),
    await measure("POST /servers, the answer", creates(quick), (i) => api.create(`answered-${i}`), NOVA.create),
    await measure("POST /servers, until ACTIVE", creates(quick), (i) => api.createActive(`active-${i}`), NOVA.active),
  ];
  const long = longList(quick);
  await api.fill(long);
  rows.push(await measure(`GET /servers/detail, ${long} servers`, reads(quick) / 10, list));
  const rates = WIDTHS.map((width) => `${width} wide`);
  return [["API", "p50", "p99", "1 wide", ...rates, "Nova p50", "rate", "times faster", "as many"], ...rows];
}

/** Latencies of one at a time, rates of one and of several. */
async function measure(
  what: string,
  count: number,
  task: (index: number) => Promise<unknown>,
  nova: Nova = {},
): Promise<string[]> {
  // Warm-up.
  await timed(Math.min(count / 4, 10), 1, task);
  const { ms, seconds } = await timed(count, 1, task);
  const rates = [count / seconds];
  for (const width of WIDTHS) rates.push(count / (await timed(count, width, task)).seconds);
  const p50 = percentile(ms, 0.5);
  const given = (value: number | undefined, unit: string) => (value === undefined ? "" : `${number(value)} ${unit}`);
  const times = (value: number | undefined) => (value === undefined ? "" : number(value));
  return [
    what,
    `${number(p50)} ms`,
    `${number(percentile(ms, 0.99))} ms`,
    ...rates.map((rate) => `${number(rate)} /s`),
    given(nova.p50, "ms"),
    given(nova.rate, "/s"),
    times(nova.p50 && nova.p50 / p50),
    times(nova.rate && Math.max(...rates) / nova.rate),
  ];
}
