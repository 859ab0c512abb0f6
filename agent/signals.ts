import { describe } from "./failure.ts";
import type { Log } from "./log.ts";

/** After this the process ends, whatever still hangs. */
const STOP_DEADLINE_MS = 2800;

/** On SIGTERM or SIGINT runs `stop` and exits with 0, within 3 s. A second signal exits at once. */
export function stopOnSignal(stop: () => Promise<unknown>, log: Log): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    log("agent.stopping", { signal });
    setTimeout(() => process.exit(0), STOP_DEADLINE_MS);
    stop()
      .catch((error: unknown) => log("agent.stop_failed", { message: describe(error) }))
      .finally(() => {
        log("agent.stopped");
        process.exit(0);
      });
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
