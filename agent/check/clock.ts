/** Whether this host's clock and the edge's agree: what the agent signs is good for a minute. Pure. */
import { MAX_SKEW_MS } from "../edge.ts";
import type { Answer } from "./edge.ts";
import type { Finding } from "./finding.ts";

const WARN_MS = 5000;
/** A Date header has whole seconds. */
const RESOLUTION_MS = 1000;

/** How far this clock is ahead of the edge's, in ms: 0 where the answer can have been given at its time; null untold. */
export function skewOf({ date, sentMs, heardMs }: Pick<Answer, "date" | "sentMs" | "heardMs">): number | null {
  const edgeMs = Date.parse(date ?? "");
  if (Number.isNaN(edgeMs)) return null;
  if (sentMs > edgeMs + RESOLUTION_MS) return sentMs - edgeMs - RESOLUTION_MS;
  return Math.min(0, heardMs - edgeMs);
}

/** `program`: the time daemon's client that is installed. */
export function checkClock(answer: Answer | null, program: "chronyc" | "timedatectl" | null): Finding {
  const check = "clock";
  if (answer === null) return { check, state: "skipped", says: "no edge answered, to compare it with" };
  const skewMs = skewOf(answer);
  if (skewMs === null) return untold(answer);
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  if (Math.abs(skewMs) < WARN_MS) return { check, state: "ok", says: "as the edge's" };
  const says = `${seconds} s ${skewMs > 0 ? "ahead of" : "behind"} the edge's`;
  const mend = MENDS[program ?? "none"];
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return { check, state: "warning", says, mend };
  return { check, state: "failed", says: `${says}: what this host signs is refused`, mend };
}

/** `wrangler dev` sends no Date; but what it accepts was signed in its time. */
function untold({ status }: Answer): Finding {
  if (status === 200)
    return { check: "clock", state: "ok", says: "near the edge's, which accepts what this host signs" };
  return { check: "clock", state: "skipped", says: "the edge did not tell its time" };
}

const MENDS = {
  chronyc: "chronyc makestep",
  timedatectl: "timedatectl set-ntp true",
  none: "apt-get install chrony && chronyc makestep",
} as const;
