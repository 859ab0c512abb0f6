/** An example of a monitor of one's own: see “Monitors” in the README. */
import { loadavg } from "node:os";
import type { Monitor } from "../../../agent/monitors/monitor.ts";

/** How many processes wanted to run, on average over a minute, five and fifteen. */
export const LoadMonitor: Monitor = {
  name: "load.average",
  measure() {
    const [one = 0, five = 0, fifteen = 0] = loadavg();
    return { "load.1m": one, "load.5m": five, "load.15m": fifteen };
  },
};
