/** What is left to do when an admin says what state a server is in (nova: os-resetState): the guest is not touched. */
import { ok } from "../result.ts";
import type { ServerFlow } from "./context.ts";
import { endMove } from "./move.ts";
import { faultOf } from "./record.ts";
import { dropImage } from "./snapshot.ts";

export const reset: ServerFlow = {
  name: "reset",
  steps: [
    {
      name: "release",
      /** Hosts that a build was trying when it was cut off hold a claim for nobody; a snapshot's image gets no bytes. */
      async run(context, memo) {
        await dropImage(context, memo.snapshot);
        await endMove(context, memo, "error");
        return ok(memo);
      },
      // No undo: nothing was there.
    },
  ],
  failed(context, failure) {
    context.patch({ fault: faultOf(failure) });
  },
};
