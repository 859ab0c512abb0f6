/** How fast a screen can come: the VNC server pushes as fast as it is let. */
import type { WebSocket } from "ws";
import { type Bench, MIB } from "./bench.ts";
import { percentile } from "./statistics.ts";
import { number } from "./table.ts";
import { closeScreen, openScreen, order } from "./viewer.ts";

const WARM_UP_MIB = 16;
const ROUNDS = 3;

const perRound = (quick: boolean) => (quick ? 96 : 256);

export const throughput: Bench = {
  name: "throughput",
  about: (quick) => `VNC server to viewer, written in 64 KiB; median of ${ROUNDS} times ${perRound(quick)} MiB`,
  async run(target, { quick }) {
    const url = await target.url();
    await push(await openScreen(url), WARM_UP_MIB);
    const pushes: Push[] = [];
    for (let round = 0; round < ROUNDS; round++) pushes.push(await push(await openScreen(url), perRound(quick)));
    const value = percentile(pushes.map(({ rate }) => rate), 0.5);
    const cut = pushes.filter(({ code }) => code !== null);
    const mib = cut.map(({ arrived }) => number(arrived / MIB)).join(", ");
    const note = `through ${target.name}, ${cut.length} of ${ROUNDS} sessions were ended (${cut[0]?.code}) after ${mib} MiB; the rate is up to there`;
    return [{ what: "throughput", value, unit: "MiB/s", ...(cut.length > 0 ? { note } : {}) }];
  },
};

/** `rate` in MiB a second; `code` when the session ended before all had arrived. */
type Push = { rate: number; arrived: number; code: number | null };

async function push(ws: WebSocket, mib: number): Promise<Push> {
  const startedMs = performance.now();
  let arrived = 0;
  const code = await new Promise<number | null>((resolve) => {
    ws.on("message", (data: Buffer) => {
      arrived += data.length;
      if (arrived === mib * MIB) resolve(null);
    });
    ws.once("close", resolve);
    order(ws, "push", mib * MIB);
  });
  const seconds = (performance.now() - startedMs) / 1000;
  await closeScreen(ws);
  return { rate: arrived / MIB / seconds, arrived, code };
}
