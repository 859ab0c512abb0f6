/** What a session costs while nobody types: 500 of them on ten servers, each with its own token if it takes one. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket } from "ws";
import type { Bench } from "./bench.ts";
import { timed } from "./statistics.ts";
import type { Target } from "./target.ts";
import { closeScreen, openScreen } from "./viewer.ts";

const KIB = 1024;
const WIDTH = 8;
const WARM_UP = 40;
/** Fewer than CONSOLE_SESSIONS_PER_SERVER. */
const PER_SERVER = 50;

const count = (quick: boolean) => (quick ? 60 : 500);
/** For the runtimes to collect some of the garbage that opening makes, and for sockets' buffers to empty. */
const settleMs = (quick: boolean) => (quick ? 500 : 2500);

export const idleMemory: Bench = {
  name: "idle-memory",
  about: (quick) =>
    `${count(quick)} idle sessions, each with a token of its own: PSS of the path over that without them`,
  async run(target, { quick }) {
    await Promise.all((await idle(await tokens(target, WARM_UP))).map(closeScreen));
    await sleep(settleMs(quick));
    const before = target.memory();
    const urls = await tokens(target, count(quick));
    await sleep(settleMs(quick));
    const between = target.memory();
    const sessions = await idle(urls);
    await sleep(settleMs(quick));
    const after = target.memory();
    await Promise.all(sessions.map(closeScreen));
    const growth = (part: string, from: Record<string, number>, to: Record<string, number>) =>
      ((to[part] ?? Number.NaN) - (from[part] ?? 0)) / count(quick) / KIB;
    const sum = Object.keys(after).reduce((all, part) => all + growth(part, before, after), 0);
    return [
      { what: "memory a session", value: sum, unit: "KiB", aim: "≤ 512" },
      { what: "  edge, to make the token", value: growth("workerd", before, between), unit: "KiB" },
      { what: "  edge, to open the session", value: growth("workerd", between, after), unit: "KiB" },
      { what: "  agent", value: growth("agent", before, after), unit: "KiB" },
    ];
  },
};

async function tokens(target: Target, count: number): Promise<string[]> {
  const urls: string[] = [];
  await timed(count, WIDTH, async (i) => urls.push(await target.url(Math.floor(i / PER_SERVER))));
  return urls;
}

async function idle(urls: readonly string[]): Promise<WebSocket[]> {
  const sessions: WebSocket[] = [];
  await timed(urls.length, WIDTH, async (i) => {
    sessions.push(await openScreen(urls[i] ?? ""));
  });
  return sessions;
}
