/** What a session costs while nobody types: 500 of them, each with a token of its own where there are tokens. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket } from "ws";
import type { Bench } from "./bench.ts";
import { timed } from "./statistics.ts";
import type { Target } from "./target.ts";
import { closeScreen, openScreen, order } from "./viewer.ts";

const KIB = 1024;
const WARM_UP = 20;
/** Garbage of the opening is no part of a session: long enough for the runtimes to collect some of it. */
const SETTLE_MS = 3000;

const count = (quick: boolean) => (quick ? 100 : 500);

export const idleMemory: Bench = {
  name: "idle-memory",
  about: (quick) => `PSS of all processes on the path, over that without sessions, by ${count(quick)} idle sessions`,
  async run(target, { quick }) {
    await Promise.all((await idle(target, WARM_UP)).map(closeScreen));
    await sleep(SETTLE_MS);
    const before = target.memory();
    const sessions = await idle(target, count(quick));
    await sleep(SETTLE_MS);
    const after = target.memory();
    await Promise.all(sessions.map(closeScreen));
    const each = (part: string) => ((after[part] ?? Number.NaN) - (before[part] ?? 0)) / count(quick) / KIB;
    const sum = Object.keys(after).reduce((all, part) => all + each(part), 0);
    return [
      { what: "memory a session", value: sum, unit: "KiB" },
      { what: "  of that: edge", value: each("workerd"), unit: "KiB" },
      { what: "  of that: agent", value: each("agent"), unit: "KiB" },
    ];
  },
};

async function idle(target: Target, count: number): Promise<WebSocket[]> {
  const sessions: WebSocket[] = [];
  await timed(count, 8, async () => {
    const ws = await openScreen(await target.url());
    order(ws, "idle");
    sessions.push(ws);
  });
  return sessions;
}
