/** How many sessions are held at once, with an echo on every one of them while all the others are there. */
import type { WebSocket } from "ws";
import { type Bench, MIB, percentileRows } from "./bench.ts";
import { timed } from "./statistics.ts";
import type { Target } from "./target.ts";
import { closeScreen, echoed, openScreen } from "./viewer.ts";

const WIDTH = 16;
/** Fewer than CONSOLE_SESSIONS_PER_SERVER. */
const PER_SERVER = 50;
/** Of one token: fewer than CONSOLE_SESSIONS_PER_TOKEN. */
const PER_TOKEN = 25;
/** A path that failed so often holds no more. */
const MAX_FAILURES = 16;

const count = (quick: boolean) => (quick ? 200 : 2000);

export const held: Bench = {
  name: "held",
  about: (quick) => `${count(quick)} sessions, opened ${WIDTH} at a time, and 64 B there and back on each`,
  async run(target, { quick }) {
    const urls = await tokens(target, count(quick));
    const before = sum(target.memory());
    const { sessions, perSecond } = await openAll(urls);
    const growth = sum(target.memory()) - before;
    let lost = 0;
    const { ms } = await timed(sessions.length, WIDTH, (i) =>
      echoed(sessions[i] as WebSocket).catch(() => {
        lost++;
      }),
    );
    await Promise.all(sessions.map(closeScreen));
    return [
      { what: "sessions at once", value: sessions.length, unit: "", aim: `${count(quick)}` },
      { what: "  that echo", value: sessions.length - lost, unit: "", aim: `${count(quick)}` },
      { what: "  opened", value: perSecond, unit: "1/s" },
      { what: "  memory of all", value: growth / MIB, unit: "MiB" },
      ...percentileRows(`  echo, ${WIDTH} at a time`, ms),
    ];
  },
};

async function openAll(urls: readonly string[]): Promise<{ sessions: WebSocket[]; perSecond: number }> {
  const sessions: WebSocket[] = [];
  let failures = 0;
  const { seconds } = await timed(urls.length, WIDTH, async (i) => {
    if (failures >= MAX_FAILURES) return;
    const ws = await openScreen(urls[i] ?? "").catch(() => null);
    if (ws === null) failures++;
    else sessions.push(ws);
  });
  return { sessions: sessions.filter((ws) => ws.readyState === ws.OPEN), perSecond: sessions.length / seconds };
}

/** A URL for each session. */
async function tokens(target: Target, count: number): Promise<string[]> {
  const made: string[] = [];
  await timed(Math.ceil(count / PER_TOKEN), WIDTH, async (i) => {
    made[i] = await target.url(Math.floor((i * PER_TOKEN) / PER_SERVER));
  });
  return Array.from({ length: count }, (_, i) => made[Math.floor(i / PER_TOKEN)] ?? "");
}

function sum(memory: Record<string, number>): number {
  return Object.values(memory).reduce((all, part) => all + part, 0);
}
