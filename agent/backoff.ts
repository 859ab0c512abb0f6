export type BackoffOptions = { baseMs?: number; capMs?: number; random?: () => number };

/**
 * How long to wait before the next attempt, in ms: anywhere from 0 to min(capMs, baseMs · 2^attempt) ("full jitter", so that
 * a fleet that lost its edge at one moment does not come back at one moment). `attempt` counts from 0.
 */
export function backoff(attempt: number, options: BackoffOptions = {}): number {
  const { baseMs = 500, capMs = 30_000, random = Math.random } = options;
  // 2^30 times any base is over any cap; a bigger exponent would reach Infinity.
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(Math.max(attempt, 0), 30));
  return Math.floor(random() * ceiling);
}
