/** How long to wait between tries to come back. */

const FIRST_MS = 250;
/** A path that is back is noticed within this time, also when the browser does not tell. */
const LONGEST_MS = 1_500;

/** Milliseconds to wait before try `attempt`, counted from 0. */
export function backoff(attempt: number): number {
  return Math.min(FIRST_MS * 2 ** attempt, LONGEST_MS);
}
