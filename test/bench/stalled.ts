/** What a viewer that stops reading costs the others: how much its VNC server may still push, and who holds it. */
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { type Bench, MIB } from "./bench.ts";
import { closeScreen, openScreen, order } from "./viewer.ts";

const POLL_MS = 100;
/** The source counts as stopped when it pushed nothing for so long. */
const CALM_MS = 1000;
const STALL_TIMEOUT_MS = 30_000;
const RESUME_TIMEOUT_MS = 30_000;

const pushMib = (quick: boolean) => (quick ? 100 : 400);

export const stalled: Bench = {
  name: "stalled",
  about: (quick) =>
    `the viewer stops reading while the VNC server has ${pushMib(quick)} MiB to push; growth is the peak's`,
  async run(target, { quick, ground }) {
    const total = pushMib(quick) * MIB;
    const ws = await openScreen(await target.url());
    const before = target.memory();
    const peak = new Map(Object.entries(before));
    let arrived = 0;
    ws.on("message", (data: Buffer) => {
      arrived += data.length;
    });
    let closed: number | null = null;
    ws.once("close", (code) => {
      closed = code;
    });
    order(ws, total);
    ws.pause();
    let pushed = 0;
    const startedMs = performance.now();
    for (let calmMs = 0; calmMs < CALM_MS && performance.now() - startedMs < STALL_TIMEOUT_MS; calmMs += POLL_MS) {
      await sleep(POLL_MS);
      for (const [part, bytes] of Object.entries(target.memory())) peak.set(part, Math.max(bytes, peak.get(part) ?? 0));
      const now = Number(await ground.screen.ask("pushed"));
      if (now !== pushed) calmMs = 0;
      pushed = now;
    }
    ws.resume();
    const deadline = performance.now() + RESUME_TIMEOUT_MS;
    while (arrived < total && ws.readyState === WebSocket.OPEN && performance.now() < deadline) await sleep(20);
    const whole = arrived >= total;
    await closeScreen(ws);
    const note = `through ${target.name}, the session ended (${closed}) before all had arrived`;
    const growth = (part: string) => Math.max(0, (peak.get(part) ?? Number.NaN) - (before[part] ?? 0)) / MIB;
    const parts = [...peak.keys()];
    return [
      { what: "pushed before it stopped", value: pushed / MIB, unit: "MiB" },
      { what: "memory growth", value: parts.reduce((sum, part) => sum + growth(part), 0), unit: "MiB" },
      { what: "  of that: edge", value: growth("workerd"), unit: "MiB" },
      { what: "  of that: agent", value: growth("agent"), unit: "MiB" },
      {
        what: "arrived when it read again",
        value: (100 * arrived) / total,
        unit: "%",
        ...(whole ? {} : { note }),
      },
    ];
  },
};
