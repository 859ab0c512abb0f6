import { describe } from "./failure.ts";
import type { Log } from "./log.ts";

export type PeriodicTask = { name: string; intervalMs: number; run(): Promise<void> | void; log: Log };

/**
 * Runs the task every `intervalMs`, counted from the end of one run to the start of the next, so that a slow task never
 * runs twice at a time. A failure is logged and the next run comes as usual. An interval below 0 is never.
 * Returns the way to stop.
 */
export function every({ name, intervalMs, run, log }: PeriodicTask): () => void {
  if (intervalMs < 0) return () => undefined;
  let stopped = false;
  let timer: NodeJS.Timeout;
  const schedule = () => {
    timer = setTimeout(tick, intervalMs);
    timer.unref(); // a periodic task alone is no reason to stay alive
  };
  const tick = async () => {
    try {
      await run();
    } catch (error) {
      log("periodic.failed", { task: name, message: describe(error) });
    }
    if (!stopped) schedule();
  };
  schedule();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
