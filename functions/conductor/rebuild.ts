/** Rebuilding a server where it is (nova: conductor rebuild_instance, compute rebuild_instance). */
import { err, ok } from "../result.ts";
import { explain } from "../scheduler/decision.ts";
import type { Context, Memo } from "./context.ts";
import { guestSpecOf } from "./guest-spec.ts";
import { noValidHost, specOf } from "./placement.ts";
import { guestFlow } from "./power.ts";
import type { ServerRecord } from "./record.ts";
import type { Step } from "./saga.ts";

/** What another image takes the place of; nothing where it is the same. */
export function replacedBy(change: Partial<ServerRecord> | undefined, before: ServerRecord): Pick<Memo, "replaced"> {
  if (!change?.image || change.image.id === before.image.id) return {};
  return { replaced: { image: before.image, image_properties: before.image_properties ?? {} } };
}

/**
 * Another image has to be one for the host that the server is on: the filters that an image has to do with are asked,
 * and nothing of Placement, as nothing more is claimed. One that is refused is not the server's.
 */
const imageFits: Step<Context, Memo> = {
  name: "schedule",
  async run(context, memo) {
    const { host, image } = context.record();
    if (!memo.replaced || host === null) return ok(memo);
    // Cut off after it was refused.
    if (image.id === memo.replaced.image.id) return err(noValidHost("The host of the server refused the image."));
    const spec = await specOf(context, [], { requested_host: null, requested_destination: host });
    const { chosen, decision } = await context.scheduler().preview({ ...spec, is_rebuild: true });
    context.decided(decision);
    if (chosen.length > 0) return ok(memo);
    context.patch(memo.replaced);
    return err(noValidHost(explain(decision)));
  },
  // No undo: an image that passed stays the server's when its guest cannot be made of it.
};

/** The record has the new image and all else that was asked for when the flow begins. */
export const rebuild = guestFlow({
  name: "rebuild",
  method: "rebuild",
  first: imageFits,
  params: (context, memo) => ({ spec: guestSpecOf(context), start: memo.was !== "stopped" }),
  becomes: (memo) => (memo.was === "stopped" ? "stopped" : "active"),
  change: () => ({ launched_at: new Date().toISOString(), progress: 100 }),
  task: () => "rebuild_spawning",
  breaks: true,
});
