/**
 * Shelving: a server's disk becomes an image, its host is free for others, and it comes back wherever there is room
 * (nova: compute shelve_instance, shelve_offload_instance, unshelve_instance; conductor unshelve_instance).
 *
 *   active, stopped, … --power_off, image, snapshot, upload--> shelved --offload--> shelved_offloaded
 *   active <------------------------------------- power_on ------ |                      |
 *   active <------------------- schedule, claim, spawn from the image -------------------+
 */
import { snapshotImage } from "../image/snapshot-image.ts";
import { err, ok, type Result } from "../result.ts";
import { PLACING } from "./build.ts";
import { type Context, callHost, enter, type Memo, type ServerFlow } from "./context.ts";
import { guestSpecOf } from "./guest-spec.ts";
import { placed } from "./placement.ts";
import { powered, powerOff } from "./power.ts";
import { faultOf, type ServerRecord } from "./record.ts";
import { type Failure, type Step, Wait } from "./saga.ts";
import { dropImage, snapshotSteps } from "./snapshot.ts";

const patience = ({ config }: Context) => config.RPC_RESPONSE_TIMEOUT * 1000;

/** As every other switching off, but a shelving that fails starts the guest again. */
const rest: Step<Context, Memo> = {
  ...powerOff,
  async undo(context, { was }) {
    if (was === "stopped") return;
    const done = await callHost(context, "power_on", {}, patience(context));
    context.patch(done.ok ? { vm_state: "active", ...powered(context, done.value) } : { vm_state: "stopped" });
  },
};

/** Adds the image's record; named by the saga, so that a repeated step adds the same one. */
const queue: Step<Context, Memo> = {
  name: "image",
  async run(context, memo) {
    const record = context.record();
    const base = await context.images().get(record.image.id);
    const { user_id, project_id, display_name } = record;
    const made = snapshotImage(record, base, { name: `${display_name}-shelved`, metadata: {}, user_id, project_id });
    if (!made.ok) return err({ code: 500, message: "The image of the server would have too many properties." });
    await context.images().add({ ...made.value, id: context.saga });
    return ok({ ...memo, snapshot: { image: context.saga } });
  },
  undo: (context) => dropImage(context, { image: context.saga }),
};

/** The server rests shelved from here on; what is left to do is its host's. */
const shelved: Step<Context, Memo> = {
  name: "shelved",
  async run(context, memo) {
    const goesOn = context.config.SHELVED_OFFLOAD_TIME === 0;
    context.patch({
      vm_state: "shelved",
      task_state: goesOn ? "shelving_offloading" : null,
      shelved: { image: context.saga, at: new Date().toISOString() },
      fault: null,
    });
    return ok(memo);
  },
  // No undo: it comes after all that can fail.
};

/** Ends the guest and frees its host's claim. A host that is away, or cannot now, does both later. */
const leave: Step<Context, Memo> = {
  name: "leave",
  async run(context, memo) {
    const { uuid, generation, host, vm_state, task_state } = context.record();
    if (host === null || vm_state !== "shelved" || task_state !== "shelving_offloading") return ok(memo);
    const left = await context.host(host).dismiss({ server: uuid, generation });
    if (left.state === "leaving" && left.connected) throw new Wait(`destroy on ${host}`);
    await placed(context, null);
    context.patch({ vm_state: "shelved_offloaded", task_state: null, host: null, node: null, power_state: 0 });
    return ok(memo);
  },
  // No undo: the disk is in the image.
};

function failed(context: Context, failure: Failure): void {
  context.patch({ task_state: null, fault: faultOf(failure) });
}

const TASKS = {
  taking: null,
  pending: "shelving_image_pending_upload",
  uploading: "shelving_image_uploading",
} as const;

export const shelve: ServerFlow = {
  name: "shelve",
  event: "compute_shelve_instance",
  steps: [rest, queue, ...snapshotSteps(TASKS), shelved, leave],
  failed,
};

export const shelveOffload: ServerFlow = {
  name: "shelve_offload",
  event: "compute_shelve_offload_instance",
  steps: [leave],
  failed,
};

/** The image is not needed any more; one that cannot be removed now stays, as any other image does. */
const forget: Step<Context, Memo> = {
  name: "forget",
  async run(context, memo) {
    const { shelved } = context.record();
    if (shelved !== null) await context.images().remove(shelved.image);
    context.patch({ shelved: null, task_state: null });
    return ok(memo);
  },
  // No undo: the guest runs.
};

const BACK = { vm_state: "active", fault: null } as const satisfies Partial<ServerRecord>;

export const unshelve: ServerFlow = {
  name: "unshelve",
  event: "conductor_unshelve_instance",
  steps: [
    {
      name: "power_on",
      event: "compute_start_instance",
      async run(context, memo) {
        enter(context, "powering-on");
        const done = await callHost(context, "power_on", {}, patience(context));
        if (!done.ok) return done;
        context.patch({ ...BACK, ...powered(context, done.value) });
        return ok(memo);
      },
      // No undo: a guest that is on can be switched off.
    },
    forget,
  ],
  failed,
};

export const unshelveOffloaded: ServerFlow = {
  name: "unshelve_offloaded",
  event: "conductor_unshelve_instance",
  steps: [
    {
      name: "image",
      /** As in Nova, a server whose disk is lost is in ERROR; it is looked for before a host is. */
      async run(context, memo) {
        const image = await shelvedImage(context);
        if (image.ok) return ok(memo);
        context.patch({ vm_state: "error", fault: faultOf(image.error) });
        return image;
      },
      // No undo: nothing was done.
    },
    ...PLACING,
    {
      name: "spawn",
      event: "compute_unshelve_instance",
      async run(context, memo) {
        const image = await shelvedImage(context);
        if (!image.ok) return image;
        const spec = { ...guestSpecOf(context), image: image.value };
        const done = await callHost(context, "spawn", spec, Number.POSITIVE_INFINITY);
        if (!done.ok) return done;
        context.patch({ ...BACK, ...powered(context, done.value), launched_at: new Date().toISOString() });
        return ok(memo);
      },
      // No undo: dismissing the claim destroys the guest with it.
    },
    forget,
  ],
  // As in Nova, a server that no host takes stays where it is; its action tells why.
  failed(context) {
    const lost = context.record().vm_state === "error";
    context.patch({ ...(lost ? {} : { vm_state: "shelved_offloaded" }), task_state: null, power_state: 0 });
  },
};

async function shelvedImage(context: Context): Promise<Result<ServerRecord["image"], Failure>> {
  const id = context.record().shelved?.image ?? "";
  const image = await context.images().get(id);
  const gone = { code: 404, message: `Unshelve attempted but the image ${id} cannot be found.` };
  if (image?.status !== "active" || image.size === null || image.os_hash_value === null) return err(gone);
  const { disk_format, size, os_hash_value: sha512 } = image;
  return disk_format === "raw" || disk_format === "qcow2" ? ok({ id, disk_format, size, sha512 }) : err(gone);
}
