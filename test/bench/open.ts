/** How long a person looks at an empty page: from the upgrade to ServerInit. */
import { type Bench, percentileRows } from "./bench.ts";
import { timed } from "./statistics.ts";
import type { Target } from "./target.ts";
import { closeScreen, openScreen } from "./viewer.ts";

const WARM_UP = 10;
const WIDTH = 16;

const count = (quick: boolean) => (quick ? 32 : 200);

export const open: Bench = {
  name: "open",
  about: (quick) =>
    `WebSocket upgrade to ServerInit; ${count(quick)} opens in a row, then ${count(quick)} at ${WIDTH} at a time`,
  async run(target, { quick }) {
    await opens(target, WARM_UP, 1);
    const one = await opens(target, count(quick), 1);
    const many = await opens(target, count(quick), WIDTH);
    return [
      ...percentileRows("open", one.ms, "≤ 10"),
      { what: `opens, ${WIDTH} at a time`, value: count(quick) / many.seconds, unit: "1/s", aim: "≥ 200" },
      { what: "  of both: did not open", value: one.failed + many.failed, unit: "", aim: "0" },
    ];
  },
};

type Opens = { ms: number[]; seconds: number; failed: number };

/** Each session is closed in the background; that it closes is no part of the time. */
async function opens(target: Target, count: number, width: number): Promise<Opens> {
  const url = await target.url();
  const closing: Promise<void>[] = [];
  let failed = 0;
  const result = await timed(count, width, async () => {
    const ws = await openScreen(url).catch(() => null);
    if (ws === null) failed++;
    else closing.push(closeScreen(ws));
  });
  await Promise.all(closing);
  return { ...result, failed };
}
