/** An example of a weigher of one's own: see “Extending the scheduler” in the README. */
import type { Weigher } from "../../../functions/scheduler/weighers/weigher.ts";

/** The later a host's name is in the alphabet, the better. An aggregate's `last_weight_multiplier` goes before the 5. */
export const LastWeigher: Weigher = {
  name: "LastWeigher",
  option: "last_weight_multiplier",
  multiplier: () => 5,
  ask:
    () =>
    ({ host }) =>
      host.charCodeAt(0),
};
