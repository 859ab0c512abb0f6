/** What a key press and its echo take: 64 bytes through the whole path and back, one at a time. */
import { type Bench, percentileRows } from "./bench.ts";
import { timed } from "./statistics.ts";
import { closeScreen, echoed, FENCE, openScreen } from "./viewer.ts";

const WARM_UP = 200;

const count = (quick: boolean) => (quick ? 500 : 4000);

export const echo: Bench = {
  name: "echo",
  about: (quick) => `${FENCE.length} B there and back, one at a time, ${count(quick)} times`,
  async run(target, { quick }) {
    const ws = await openScreen(await target.url());
    await timed(WARM_UP, 1, () => echoed(ws));
    const { ms } = await timed(count(quick), 1, () => echoed(ws));
    await closeScreen(ws);
    return percentileRows("round trip", ms);
  },
};
