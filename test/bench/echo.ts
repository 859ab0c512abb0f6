/** What a key press and its echo take: 64 bytes through the whole path and back, one at a time. */
import { type Bench, percentileRows } from "./bench.ts";
import { timed } from "./statistics.ts";
import { closeScreen, openScreen } from "./viewer.ts";

/** A fence (rfbproto.rst §7.5.8) of 64 bytes: the VNC server sends it back. */
const FRAME = Buffer.alloc(64, 7);
FRAME.set([248, 0, 0, 0, 0, 0, 0, 1, FRAME.length - 9]);
const WARM_UP = 200;

const count = (quick: boolean) => (quick ? 500 : 4000);

export const echo: Bench = {
  name: "echo",
  about: (quick) => `${FRAME.length} B there and back, one at a time, ${count(quick)} times`,
  async run(target, { quick }) {
    const ws = await openScreen(await target.url());
    let arrived = 0;
    let trip = Promise.withResolvers<void>();
    ws.on("message", (data: Buffer) => {
      arrived += data.length;
      if (arrived === FRAME.length) trip.resolve();
    });
    ws.once("close", (code) => trip.reject(new Error(`the session ended: ${code}`)));
    const there = () => {
      arrived = 0;
      trip = Promise.withResolvers<void>();
      ws.send(FRAME);
      return trip.promise;
    };
    await timed(WARM_UP, 1, there);
    const { ms } = await timed(count(quick), 1, there);
    await closeScreen(ws);
    return percentileRows("round trip", ms);
  },
};
