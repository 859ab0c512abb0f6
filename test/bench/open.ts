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
      ...percentileRows("open", one.ms),
      { what: `opens, ${WIDTH} at a time`, value: count(quick) / many.seconds, unit: "1/s" },
    ];
  },
};

/** Each session is closed in the background; that it closes is no part of the time. */
async function opens(target: Target, count: number, width: number): Promise<{ ms: number[]; seconds: number }> {
  const url = await target.url();
  const closing: Promise<void>[] = [];
  const result = await timed(count, width, async () => {
    closing.push(closeScreen(await openScreen(url)));
  });
  await Promise.all(closing);
  return result;
}
