/** How fast a screen can come: the VNC server pushes as fast as it is let. */
import { type Bench, MIB } from "./bench.ts";
import { type Pushed, pull } from "./raw-viewer.ts";
import { percentile } from "./statistics.ts";
import { number } from "./table.ts";

const WARM_UP_MIB = 32;
const ROUNDS = 5;

const perRound = (quick: boolean) => (quick ? 64 : 256);

export const throughput: Bench = {
  name: "throughput",
  about: (quick) => `VNC server to viewer, written in 64 KiB; median of ${ROUNDS} times ${perRound(quick)} MiB, each a session`,
  async run(target, { quick }) {
    const url = await target.url();
    await pull(url, WARM_UP_MIB * MIB);
    const pushes: Pushed[] = [];
    for (let round = 0; round < ROUNDS; round++) pushes.push(await pull(url, perRound(quick) * MIB));
    const value = percentile(
      pushes.map(({ arrived, seconds }) => arrived / MIB / seconds),
      0.5,
    );
    const cut = pushes.filter(({ code }) => code !== null);
    const mib = cut.map(({ arrived }) => number(arrived / MIB)).join(", ");
    const note = `through ${target.name}, ${cut.length} of ${ROUNDS} sessions were ended (${cut[0]?.code}) after ${mib} MiB; the rate is up to there`;
    return [{ what: "throughput", value, unit: "MiB/s", ...(cut.length > 0 ? { note } : {}) }];
  },
};
