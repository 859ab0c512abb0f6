/**
 * createImage and createBackup (nova: compute snapshot_instance, backup_instance). The image's record is there before
 * the flow begins, queued; it goes again if the flow fails.
 *
 *   image_snapshot_pending --> image_snapshot --------+--> image_pending_upload --> image_uploading --> (none)
 *   image_backup -------------------------------------+
 *
 * A host that is away is waited for: it goes on with the file that it has.
 */
import { METHODS } from "../protocol/methods.ts";
import { err, ok } from "../result.ts";
import { type Context, callHost, enter, type Memo, type ServerFlow } from "./context.ts";
import { faultOf } from "./record.ts";
import type { Step } from "./saga.ts";
import type { TaskState } from "./state.ts";

const NOT_STORED = { code: 500, message: "The host says that it uploaded the snapshot, and the image is not there." };

/** The tasks that a server shows while its snapshot is taken, made ready and uploaded; null leaves the one it has. */
type Tasks = { taking: TaskState | null; pending: TaskState; uploading: TaskState };

/** Has the host copy the guest's disk into a file. */
const take = ({ taking }: Tasks): Step<Context, Memo> => ({
  name: "snapshot",
  async run(context, memo) {
    const { snapshot } = memo;
    if (!snapshot?.image) return ok(memo);
    if (taking !== null) enter(context, taking);
    const done = await callHost(context, "snapshot", { image: snapshot.image }, Number.POSITIVE_INFINITY);
    if (!done.ok) return done;
    // The host's object has checked its shape.
    const file = METHODS.snapshot.value.parse(done.value.value);
    return ok({ ...memo, snapshot: { ...snapshot, file } });
  },
  undo: (context, { snapshot }) => dropImage(context, snapshot),
});

/** Has the host bring that file to R2. */
const upload = ({ pending, uploading }: Tasks): Step<Context, Memo> => ({
  name: "upload",
  async run(context, memo) {
    const { snapshot } = memo;
    const { host } = context.record();
    if (!snapshot?.image || !snapshot.file || host === null) return ok(memo);
    const { image, file } = snapshot;
    if (context.record().task_state !== uploading) enter(context, pending);
    const expected = await context.images().expectUpload(image, { host, ...file });
    if (expected === "gone") return err({ code: 404, message: `Image ${image} could not be found.` });
    if (expected === "too_large") return err({ code: 413, message: "The snapshot is too large for an image." });
    enter(context, uploading);
    const done = await callHost(context, "upload_snapshot", { image }, Number.POSITIVE_INFINITY);
    // The image says how it went, also when the host did not hear it.
    if ((await context.images().get(image))?.status !== "active") return done.ok ? err(NOT_STORED) : done;
    return ok({ ...memo, snapshot: { ...snapshot, stored: true } });
  },
  // No undo: the undo of the step before takes the image with what there is of it.
});

/** What makes the queued image `memo.snapshot.image` of the guest's disk. */
export const snapshotSteps = (tasks: Tasks): Step<Context, Memo>[] => [take(tasks), upload(tasks)];

const finish: Step<Context, Memo> = {
  name: "finish",
  async run(context, memo) {
    context.patch({ task_state: null });
    return ok(memo);
  },
  // No undo: nothing is left to be taken back.
};

/** Deletes the oldest backups beyond those that are kept (nova: _rotate_backups). */
const rotate: Step<Context, Memo> = {
  name: "rotate",
  async run(context, memo) {
    const { backup } = memo.snapshot ?? {};
    const kept = backup ? await context.images().backups(context.record(), backup.backup_type) : [];
    // One that is protected stays, as in Nova, and is asked again the next time.
    for (const image of kept.slice(backup?.rotation)) await context.images().remove(image);
    context.patch({ task_state: null });
    return ok(memo);
  },
  // No undo: the backups that are gone were to go.
};

const SHOWN = { pending: "image_pending_upload", uploading: "image_uploading" } as const;

function snapshotFlow(name: string, event: string, taking: TaskState | null, last: Step<Context, Memo>): ServerFlow {
  return {
    name,
    event,
    steps: [...snapshotSteps({ ...SHOWN, taking }), last],
    failed(context, failure) {
      context.patch({ task_state: null, fault: faultOf(failure) });
    },
  };
}

export const snapshot = snapshotFlow("create_image", "compute_snapshot_instance", "image_snapshot", finish);
export const backup = snapshotFlow("create_backup", "compute_backup_instance", null, rotate);

/** Removes the image of a snapshot that did not come to its end (nova: delete_image_on_error). */
export async function dropImage(context: Context, snapshot: Memo["snapshot"]): Promise<void> {
  if (snapshot?.image && !snapshot.stored) await context.images().remove(snapshot.image);
}
