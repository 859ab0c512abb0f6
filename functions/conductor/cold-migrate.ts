/**
 * Resizing, and moving a server that is off (nova: conductor/tasks/migrate.py, compute prep_resize, resize_instance,
 * finish_resize). Its disks are put aside at the source, until the move is confirmed or reverted.
 *
 *   source                                          destination
 *   schedule, claim ------------------------------> the claim of the new flavor, beside the old one's if it is the source
 *   migrate_disk_and_power_off      resize_migrating
 *   send_disks --------------------------------------> receive_disks: a copy of what is aside, if it is the source
 *   ---- resize_migrated: from here on the server is at the destination ----
 *                                   resize_finish    finish_migration --> resized
 */
import { err, ok, type Result } from "../result.ts";
import { type CallFailure, type Context, callHost, callOn, enter, type Memo, type ServerFlow } from "./context.ts";
import { guestSpecOf } from "./guest-spec.ts";
import {
  atDestination,
  chooseDestination,
  destinationOf,
  generationThere,
  giveUp,
  giveUpDestinations,
  hasSwitched,
  isOnDisk,
  type Moved,
  mismatch,
  recorded,
  sourceOf,
  tell,
  tellDestination,
} from "./move.ts";
import { claimInRounds } from "./placement.ts";
import { grace, powered } from "./power.ts";
import { faultOf, type ServerRecord } from "./record.ts";
import { type Failure, type Step, Wait } from "./saga.ts";
import { sizedTo, sizesOf } from "./sizes.ts";

/** What it is to be. */
const sizesThere = (record: ServerRecord) =>
  record.new_flavor === null ? sizesOf(record) : sizedTo(record.new_flavor, record);

/** What it is to be, and whether that may be where it is: as in Nova, a migration never stays. */
function movedOf({ config, record }: Context): Moved {
  const { flavor } = sizesThere(record());
  return { flavor, stays: config.ALLOW_RESIZE_TO_SAME_HOST && record().new_flavor !== null };
}

const schedule: Step<Context, Memo> = {
  name: "schedule",
  run: (context, memo) => chooseDestination(context, { ...memo, at: 0 }, movedOf(context)),
  // No undo: a choice holds nothing.
};

const claim: Step<Context, Memo> = {
  name: "claim",
  event: "compute_prep_resize",
  async run(context, memo) {
    const claimed = await claimDestination(context, memo);
    if (claimed.ok) await tellDestination(context, claimed.value);
    return claimed;
  },
  undo: giveUpDestinations,
};

/** A host that was named is the only one that is tried. */
async function claimDestination(context: Context, memo: Memo): Promise<Result<Memo, Failure>> {
  const moved = movedOf(context);
  const more = async (trying: Memo) => {
    const chosen = memo.move?.target ? null : await chooseDestination(context, trying, moved);
    // That there is no other tells less than why those that there were refused.
    return chosen?.ok ? chosen : null;
  };
  const misfit = (host: string) => mismatch(context, sourceOf(memo), host);
  const as = { generation: generationThere(memo), flavor: moved.flavor, misfit, beside: sourceOf(memo) };
  const claimed = await claimInRounds(context, memo, more, as);
  return claimed.ok ? ok(claimed.value.memo) : claimed;
}

/** As every other switching off, but a move that fails starts the guest again: its disks are as they were. */
const rest: Step<Context, Memo> = {
  name: "power_off",
  event: "compute_resize_instance",
  async run(context, memo) {
    enter(context, "resize_migrating");
    await tell(context, { status: "migrating" });
    const order = { ...grace(context), migration: context.saga };
    const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
    const done = await callHost(context, "migrate_disk_and_power_off", order, patienceMs);
    if (!done.ok) return done;
    context.patch(powered(context, done.value));
    return ok(memo);
  },
  async undo(context, memo) {
    if (hasSwitched(context, memo)) return;
    // Of a host that is away, or never put anything aside: whatever its guest is asked next brings its disks back.
    await callHost(context, "finish_revert_migration", {}, "while_up");
    if (memo.was === "stopped") return;
    const done = await callHost(context, "power_on", {}, "while_up");
    context.patch(done.ok ? powered(context, done.value) : { vm_state: "stopped" });
  },
};

/** Where another host would answer the same: the trouble is the way, or the source. */
const ON_THE_WAY: ReadonlySet<CallFailure["of"]> = new Set(["MigrationError"] as const);

const copy: Step<Context, Memo> = {
  name: "copy",
  async run(context, memo) {
    let trying = memo;
    for (;;) {
      const copied = await copyTo(context, trying);
      if (copied.ok) break;
      const next = await rescheduled(context, trying, copied.error);
      if (!next.ok) return next;
      trying = next.value;
    }
    await tell(context, { status: "post-migrating" });
    return ok(trying);
  },
  // No undo: what came is dropped with the claim, and the source has its disks.
};

type CopyFailure = CallFailure & { there: boolean };

/**
 * Has both hosts at it, and waits for both: none is left at work behind the back of what comes next. A destination that
 * has the disks where the source has put them, or is the source, is sent nothing; in that its guest is no other one before
 * the server has arrived.
 */
async function copyTo(context: Context, memo: Memo): Promise<{ ok: true } | { ok: false; error: CopyFailure }> {
  const { host: source, generation } = context.record();
  if (source === null) throw new Error("a move of a server that is nowhere");
  const destination = destinationOf(memo);
  const peers = await context.peers({ migration: context.saga, source, destination });
  if (!peers.ok) return err({ ...peers.error, there: false });
  const spec = guestSpecOf(context, sizesThere(context.record()));
  const order = { peer: peers.value.destination, spec };
  const from = { host: source, generation, to: destination };
  const to = source === destination ? { host: source, generation } : there(memo);
  const isSent = source !== destination && !(await isOnDisk(context, memo));
  const [received, sent] = await Promise.all([
    callOn(context, to, "receive_disks", order, "while_up"),
    isSent ? callOn(context, from, "send_disks", { peer: peers.value.source }, "while_up") : ok(),
  ]);
  if (received === "waiting" || sent === "waiting") throw new Wait(`disks from ${source} to ${destination}`);
  if (!received.ok) return err({ ...received.error, there: true });
  return sent.ok ? { ok: true } : err({ ...sent.error, there: false });
}

const there = (memo: Memo) => ({ host: destinationOf(memo), generation: generationThere(memo) });

/** The next of the hosts, claimed, when it was the destination that could not; else the failure itself. */
async function rescheduled(context: Context, memo: Memo, failure: CopyFailure) {
  if (!failure.there || failure.of === undefined || ON_THE_WAY.has(failure.of) || memo.move?.target)
    return err(failure);
  const failed = destinationOf(memo);
  await giveUp(context, memo, failed);
  const next = { ...memo, at: memo.at + 1 };
  if (next.at < next.hosts.length) context.note(next);
  const claimed = await claimDestination(context, next);
  if (!claimed.ok) return err(failure);
  context.note(claimed.value);
  await tellDestination(context, claimed.value);
  context.triedAgain(failed, failure.message);
  return claimed;
}

/** The server is at the destination from here on; what it had may come back with a revert. */
const arrive: Step<Context, Memo> = {
  name: "arrive",
  event: "compute_finish_resize",
  async run(context, memo) {
    const record = context.record();
    const { host, node, zone } = record;
    if (host === null || hasSwitched(context, memo)) return ok(memo);
    context.patch({
      ...(await atDestination(context, memo)),
      ...sizesThere(record),
      new_flavor: null,
      task_state: "resize_migrated",
      resized: {
        migration: context.saga,
        at: new Date().toISOString(),
        host,
        node,
        zone,
        ...sizesOf(record),
        was: memo.was ?? "active",
      },
    });
    return ok(memo);
  },
  // No undo: as in Nova, a server whose guest cannot be made at the destination is an operator's to mend.
};

const finish: Step<Context, Memo> = {
  name: "finish",
  async run(context, memo) {
    enter(context, "resize_finish");
    const order = { spec: guestSpecOf(context), start: memo.was !== "stopped" };
    const done = await callHost(context, "finish_migration", order, Number.POSITIVE_INFINITY);
    if (!done.ok) return done;
    const { resized } = context.record();
    context.patch({
      ...powered(context, done.value),
      ...(resized ? { resized: { ...resized, at: new Date().toISOString() } } : {}),
      vm_state: "resized",
      task_state: null,
      fault: null,
    });
    await context.endPipe();
    await tell(context, { status: "finished" });
    return ok(memo);
  },
  // No undo: dismissing the claim ends what there is of the guest.
};

function failed(context: Context, failure: Failure): void {
  const { resized } = context.record();
  const broken = resized?.migration === context.saga ? { vm_state: "error" as const } : {};
  context.patch({ ...broken, task_state: null, new_flavor: null, fault: faultOf(failure) });
}

const cold = (name: string, type: "resize" | "migration"): ServerFlow => ({
  name,
  event: "conductor_migrate_server",
  steps: [recorded(type, "pre-migrating"), schedule, claim, rest, copy, arrive, finish],
  failed,
});

export const resize = cold("resize", "resize");
export const migrate = cold("migrate", "migration");
