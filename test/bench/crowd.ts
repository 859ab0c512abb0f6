/** What one viewer that stops reading costs those who watch the same screen. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket } from "ws";
import { type Bench, type Measure, MIB } from "./bench.ts";
import { now } from "./clock.ts";
import { percentile } from "./statistics.ts";
import type { Target } from "./target.ts";
import { closeScreen, openScreen, order, watch } from "./viewer.ts";

const VIEWERS = 3;
const POLL_MS = 250;
const PUSH_BYTES = 400 * MIB;

const seconds = (quick: boolean) => (quick ? 3 : 15);

type Watched = { rate: number; ms: number[]; growth: Record<string, number> };

export const crowd: Bench = {
  name: "crowd",
  about: (quick) =>
    `${VIEWERS} viewers of a screen that moves 30 times a second (64 KiB each), ${seconds(quick)} s alone, then with ` +
    `one more that has ${PUSH_BYTES / MIB} MiB to come and does not read`,
  async run(target, { quick, ground }) {
    const url = await target.url();
    const viewers = await Promise.all(Array.from({ length: VIEWERS }, () => openScreen(url)));
    const moves: number[] = [];
    const sinceMs = now();
    for (const ws of viewers) {
      watch(ws, (movedMs) => {
        // First comes what was there before.
        if (movedMs > sinceMs) moves.push(now() - movedMs);
      });
    }
    await ground.screen.ask("play");
    const alone = await watched(target, moves, seconds(quick));
    const stalled = await stall(url);
    const beside = await watched(target, moves, seconds(quick));
    await ground.screen.ask("rest");
    stalled.terminate();
    await Promise.all(viewers.map(closeScreen));
    return [
      ...rows("alone", alone),
      ...rows("beside a stalled one", beside),
      { what: "  memory growth", value: grown(beside, Object.keys(beside.growth)), unit: "MiB" },
      { what: "    of that: edge", value: grown(beside, ["workerd"]), unit: "MiB" },
      { what: "    of that: agent", value: grown(beside, ["agent"]), unit: "MiB" },
    ];
  },
};

function rows(how: string, { rate, ms }: Watched): Measure[] {
  return [
    { what: `${how}: updates a viewer`, value: rate, unit: "1/s" },
    { what: "  age on arrival p50", value: percentile(ms, 0.5), unit: "ms" },
    { what: "  age on arrival p99", value: percentile(ms, 0.99), unit: "ms" },
  ];
}

/** What those who watch get in the next seconds, and the peak of the path's memory meanwhile over that of now. */
async function watched(target: Target, moves: number[], seconds: number): Promise<Watched> {
  const before = target.memory();
  const peak = { ...before };
  moves.length = 0;
  const startedMs = performance.now();
  while (performance.now() - startedMs < seconds * 1000) {
    await sleep(POLL_MS);
    for (const [part, bytes] of Object.entries(target.memory())) peak[part] = Math.max(bytes, peak[part] ?? 0);
  }
  const rate = moves.length / VIEWERS / ((performance.now() - startedMs) / 1000);
  const growth = Object.fromEntries(Object.entries(peak).map(([part, bytes]) => [part, bytes - (before[part] ?? 0)]));
  return { rate, ms: [...moves], growth };
}

async function stall(url: string): Promise<WebSocket> {
  const ws = await openScreen(url);
  order(ws, PUSH_BYTES);
  ws.pause();
  return ws;
}

function grown({ growth }: Watched, parts: readonly string[]): number {
  return parts.reduce((sum, part) => sum + (growth[part] ?? Number.NaN), 0) / MIB;
}
