/** What is left to do when an admin says what state a server is in (nova: os-resetState): the guest is not touched. */
import { ok } from "../result.ts";
import type { ServerFlow } from "./context.ts";
import { settleResize } from "./move.ts";
import { faultOf, lastGeneration } from "./record.ts";
import { dropImage } from "./snapshot.ts";

export const reset: ServerFlow = {
  name: "reset",
  steps: [
    {
      name: "release",
      /** Hosts that a build was trying when it was cut off hold a claim for nobody; a snapshot's image gets no bytes. */
      async run(context, memo) {
        await dropImage(context, memo.snapshot);
        if (memo.cut_off) await context.project().changeMigration(memo.cut_off, { status: "error" });
        const record = context.record();
        const { uuid, host, resized } = record;
        const generation = lastGeneration(record);
        for (const name of memo.hosts) {
          if (name !== host) await context.host(name).dismiss({ server: uuid, generation });
        }
        if (host !== null) await settleResize(context, host);
        if (resized) {
          await context.project().changeMigration(resized.migration, { status: "error" });
          context.patch({ resized: null });
        }
        return ok(memo);
      },
      // No undo: nothing was there.
    },
  ],
  failed(context, failure) {
    context.patch({ fault: faultOf(failure) });
  },
};
