/** Fencing by lease, the edge's side: from when on no guest of a silent host can be running any more. Pure. */

/** What it may take an agent to switch its guests off, once their lease is over. */
const SWITCH_OFF_MS = 30_000;

/** Unix ms. `seenAt`: the host's last sign of life; one that nobody ever saw has no guests. */
export function leaseIsOverAt(seenAt: number | null, leaseSeconds: number, now: number): number {
  return seenAt === null ? now : seenAt + leaseSeconds * 1000 + SWITCH_OFF_MS;
}
