/** The order of hosts by weight, as far as anybody asks for it: a choice among ten thousand needs the first few. Pure. */

/** The places of the `count` greatest weights, the greatest first; of equal ones, the first first. */
export function bestOf(weights: Float64Array, count: number): number[] {
  const best = new Int32Array(Math.min(count, weights.length));
  let filled = 0;
  for (let at = 0; at < weights.length; at++) {
    const weight = weights[at] ?? 0;
    const isFull = filled === best.length;
    if (isFull && !(weight > (weights[best[filled - 1] ?? 0] ?? 0))) continue;
    const place = placeOf(weight, weights, best, filled);
    best.copyWithin(place + 1, place, isFull ? filled - 1 : filled);
    best[place] = at;
    if (!isFull) filled++;
  }
  return [...best];
}

/** Where a weight belongs among the first `filled` of `best`: behind those that are not less. */
function placeOf(weight: number, weights: Float64Array, best: Int32Array, filled: number): number {
  let [from, to] = [0, filled];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((weights[best[middle] ?? 0] ?? 0) >= weight) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * Those that weigh as much as the best, in any order, and drawn from all of them, however few of them are ranked (nova:
 * shuffle_best_same_weighed_hosts).
 * @param random 0 ≤ x < 1
 */
export function shuffleBest(ranked: readonly number[], weights: Float64Array, random: () => number): number[] {
  const top = weights[ranked[0] ?? 0];
  const alike: number[] = [];
  for (let at = 0; at < weights.length; at++) if (weights[at] === top) alike.push(at);
  const drawn: number[] = [];
  while (drawn.length < ranked.length && alike.length > 0) {
    const at = Math.floor(random() * alike.length);
    const [one, last] = [alike[at], alike.pop()];
    if (one !== undefined) drawn.push(one);
    if (last !== undefined && at < alike.length) alike[at] = last;
  }
  return [...drawn, ...ranked.slice(drawn.length)];
}

/** The one at `drawn`, then the others in their order, `attempts` in all. */
export function pick<T>(ranked: readonly T[], drawn: number, attempts: number): T[] {
  const chosen = ranked[drawn];
  if (chosen === undefined) return [];
  return [chosen, ...ranked.slice(0, drawn), ...ranked.slice(drawn + 1, attempts)].slice(0, attempts);
}
