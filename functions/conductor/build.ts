/** Booting a server (nova: conductor build_instances, compute build_and_run_instance). */

import { ok } from "../result.ts";
import { type Context, callHost, type Memo, type ServerFlow } from "./context.ts";
import { guestSpecOf } from "./guest-spec.ts";
import { choose, claimInRounds, nextHost, placed, takePlace } from "./placement.ts";
import { powered } from "./power.ts";
import { faultOf } from "./record.ts";
import type { Step } from "./saga.ts";

/** Finds a host for a server that has none, and claims it. */
export const PLACING: readonly Step<Context, Memo>[] = [
  {
    name: "schedule",
    run: choose,
    // No undo: a choice holds nothing.
  },
  {
    name: "claim",
    async run(context, memo) {
      const claimed = await claimInRounds(context, memo, async (trying) => {
        const more = await choose(context, trying);
        if (more.ok) context.note(more.value);
        return more;
      });
      if (!claimed.ok) return claimed;
      takePlace(context, claimed.value);
      return ok(claimed.value.memo);
    },
    async undo(context, memo) {
      const { uuid, generation } = context.record();
      for (const host of memo.hosts.slice(0, memo.at + 1))
        await context.host(host).dismiss({ server: uuid, generation });
      await placed(context, null);
      context.patch({ host: null, node: null });
    },
  },
];

/** nova: _check_instance_build_time. */
const TIMED_OUT = { code: 500, message: "Instance build timed out. Set to error state." };

export const build: ServerFlow = {
  name: "build",
  event: "conductor_schedule_and_build_instances",
  steps: [
    ...PLACING,
    {
      name: "spawn",
      event: "compute__do_build_and_run_instance",
      async run(context, memo) {
        // A host that is away may come back: how long it is waited for is INSTANCE_BUILD_TIMEOUT's to say.
        const patienceMs = Number.POSITIVE_INFINITY;
        let trying = memo;
        let done = await callHost(context, "spawn", guestSpecOf(context), patienceMs);
        while (!done.ok) {
          const next = await nextHost(context, trying, done.error);
          if (!next.ok) return next;
          trying = next.value;
          done = await callHost(context, "spawn", guestSpecOf(context), patienceMs);
        }
        context.patch({
          vm_state: "active",
          task_state: null,
          ...powered(context, done.value),
          launched_at: new Date().toISOString(),
          progress: 100,
        });
        return ok(trying);
      },
      // No undo: dismissing the claim destroys the guest with it.
    },
  ],
  expires({ config, startedAt, record }) {
    const { INSTANCE_BUILD_TIMEOUT: seconds } = config;
    return seconds > 0 && record().vm_state === "building"
      ? { at: startedAt + seconds * 1000, failure: TIMED_OUT }
      : null;
  },
  failed(context, failure) {
    context.patch({ vm_state: "error", task_state: null, fault: faultOf(failure) });
  },
};
