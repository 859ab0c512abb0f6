/** How fast a screen can come: the VNC server pushes as fast as it is let. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Bench, MIB } from "./bench.ts";
import { type Pushed, pull } from "./raw-viewer.ts";
import { percentile } from "./statistics.ts";
import { number } from "./table.ts";

const WARM_UP_MIB = 32;
const ROUNDS = 5;
/** For websockify to take note of the children that have ended, whose time counts as its own from then on. */
const REAP_MS = 200;

const perRound = (quick: boolean) => (quick ? 64 : 200);

export const throughput: Bench = {
  name: "throughput",
  about: (quick) =>
    `VNC server to viewer, written in 64 KiB; median of ${ROUNDS} times ${perRound(quick)} MiB, each a session`,
  async run(target, { quick }) {
    const url = await target.url();
    await pull(url, WARM_UP_MIB * MIB);
    await sleep(REAP_MS);
    const cpuBefore = target.cpuMs();
    const pushes: Pushed[] = [];
    for (let round = 0; round < ROUNDS; round++) pushes.push(await pull(url, perRound(quick) * MIB));
    const value = percentile(
      pushes.map(({ arrived, seconds }) => arrived / MIB / seconds),
      0.5,
    );
    await sleep(REAP_MS);
    const gib = pushes.reduce((sum, { arrived }) => sum + arrived, 0) / MIB / 1024;
    const cut = pushes.filter(({ code }) => code !== null);
    const mib = cut.map(({ arrived }) => number(arrived / MIB)).join(", ");
    const note = `through ${target.name}, ${cut.length} of ${ROUNDS} sessions were ended (${cut[0]?.code}) after ${mib} MiB; the rate is up to there`;
    return [
      { what: "throughput", value, unit: "MiB/s", ...(cut.length > 0 ? { note } : {}) },
      { what: "  processor time", value: (target.cpuMs() - cpuBefore) / gib, unit: "ms/GiB" },
    ];
  },
};
