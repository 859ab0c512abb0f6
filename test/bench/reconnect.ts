/** A fleet that loses its edge at one moment: how it comes back, to `wrangler dev` and through its limit for agents. */
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet } from "../fleet.ts";
import { KillableEdge } from "../killable-edge.ts";
import { number } from "./table.ts";
import type { Ground } from "./target.ts";

/** Long enough for the agents to be at their longest waits. */
const OUTAGE_MS = 45_000;
const POLL_MS = 50;
const LIMIT_MS = 300_000;

const agents = (quick: boolean) => (quick ? 100 : 1000);

export const reconnect = {
  name: "reconnect",
  about: (quick: boolean) =>
    `${agents(quick)} agents in this process; wrangler dev killed with SIGKILL for ${OUTAGE_MS / 1000} s and started again`,
  async run(_: Ground, quick: boolean): Promise<string[][][]> {
    const edge = new KillableEdge();
    let fleet: Fleet | undefined;
    try {
      await edge.start();
      const count = agents(quick);
      fleet = await Fleet.start({ edge: edge.url, cloud: await edge.cloud(), count, dir: edge.dir });
      await reached(fleet, count);
      await edge.kill();
      await reached(fleet, 0);
      fleet.lines = 0;
      await sleep(OUTAGE_MS);
      const lines = fleet.lines / count / (OUTAGE_MS / 60_000);
      fleet.ups = [];
      fleet.refusals = [];
      // The time that the edge itself takes to start is in all figures: agents are back before it says that it is ready.
      const returned = performance.now();
      await edge.start();
      await reached(fleet, count);
      const after = fleet.ups.map((at) => Math.max(0, at - returned) / 1000).sort((a, b) => a - b);
      const seconds = after.map(Math.floor);
      const peak = Math.max(...seconds.map((second) => seconds.filter((other) => other === second).length));
      const down = [...(await edge.services()).values()].filter((state) => state === "down").length;
      const table = [
        [
          "agents",
          "half back after the start, s",
          "all back, s",
          "peak, 1/s",
          "refused",
          "hosts down",
          "log lines a minute and agent",
        ],
        [
          ...[count, after[count >> 1] ?? Number.NaN, after.at(-1) ?? Number.NaN, peak].map(number),
          String(fleet.refusals.length),
          String(down),
          number(lines),
        ],
      ];
      return [table];
    } finally {
      await fleet?.stop();
      await edge.close();
    }
  },
};

async function reached(fleet: Fleet, count: number): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; fleet.linked.size !== count; await sleep(POLL_MS)) {
    if (Date.now() > deadline) throw new Error(`${fleet.linked.size} agents are linked, not ${count}`);
  }
}
