/**
 * Building a server anew that a host which is down had (nova: conductor rebuild_instance, compute rebuild_instance with
 * `recreate`). Where the destination sees the disks that it had there, the guest goes on with those; else it begins from
 * its image. What is left of it there goes when the host returns, and the move's record is `completed` then.
 */
import { POWER_STATE } from "../protocol/guest.ts";
import { ok } from "../result.ts";
import { type Context, callHost, enter, type Memo, type ServerFlow } from "./context.ts";
import { guestSpecOf } from "./guest-spec.ts";
import type { Keeper } from "./keeper.ts";
import {
  atDestination,
  chooseDestination,
  destinationOf,
  ending,
  endMove,
  generationThere,
  giveUpDestinations,
  hasSwitched,
  isOnDisk,
  mismatch,
  recorded,
  sourceOf,
  tell,
  tellDestination,
} from "./move.ts";
import { claimFirst, noValidHost } from "./placement.ts";
import { powered, powerOff } from "./power.ts";
import { faultOf } from "./record.ts";
import type { Step } from "./saga.ts";

const FOR_EVER = Number.POSITIVE_INFINITY;

/** Hosts that a flow which this one cut off was trying may have a guest on the way: of those there is none to keep. */
const release: Step<Context, Memo> = {
  name: "release",
  async run(context, memo) {
    await endMove(context, memo, "error");
    return ok(memo);
  },
  // No undo: nothing was there that anybody had.
};

const schedule: Step<Context, Memo> = {
  name: "schedule",
  async run(context, memo) {
    const chosen = await chooseDestination(context, { ...memo, at: 0 }, context.record());
    if (!chosen.ok) {
      // As in Nova, a server whose host is down and that has nowhere to go is in ERROR.
      context.patch({ vm_state: "error" });
      return chosen;
    }
    await tell(context, { status: "pre-migrating" });
    return chosen;
  },
  // No undo: a choice holds nothing.
};

const claim: Step<Context, Memo> = {
  name: "claim",
  event: "compute_rebuild_instance",
  async run(context, memo) {
    const wrong = await mismatch(context, sourceOf(memo), destinationOf(memo));
    if (wrong !== null) return ending(context, memo, "failed", wrong);
    // As in Nova, no other host is tried.
    const one = { ...memo, hosts: memo.hosts.slice(0, memo.at + 1) };
    const as = { generation: generationThere(memo), flavor: context.record().flavor };
    const claimed = await claimFirst(context, one, as);
    if (!claimed.ok) {
      const why = noValidHost(`The host that was chosen refused: ${claimed.error.refused.join("; ")}.`);
      return ending(context, one, "failed", why);
    }
    await tellDestination(context, one);
    return ok(one);
  },
  undo: giveUpDestinations,
};

/**
 * Whether the destination sees its disks. As in Nova it is refused if that is not as it was said to be (nova:
 * InvalidSharedStorage); unlike there the server stays what it was, and may be asked for again.
 */
const look: Step<Context, Memo> = {
  name: "look",
  async run(context, memo) {
    const on_disk = await isOnDisk(context, memo);
    const { on_shared_storage = on_disk } = memo.move ?? {};
    if (on_shared_storage === on_disk) return ok({ ...memo, move: { ...memo.move, on_disk } });
    const message = "Invalid state of instance files on shared storage";
    const details = `${destinationOf(memo)} ${on_disk ? "sees" : "does not see"} the files that ${sourceOf(memo)} had.`;
    return ending(context, memo, "failed", { code: 400, message, details });
  },
  // No undo: nothing was changed.
};

/** The server is at the destination from here on, and what comes of its guest shows there. */
const arrive: Step<Context, Memo> = {
  name: "arrive",
  async run(context, memo) {
    if (hasSwitched(context, memo)) return ok(memo);
    const there = await atDestination(context, memo);
    const { uuid, evacuated_from = [] } = context.record();
    // From here on its guest there is not to run, should the host return.
    await context.host(sourceOf(memo)).evacuating(uuid);
    context.patch({
      ...there,
      evacuated_from: [...new Set([...evacuated_from, sourceOf(memo)])],
      task_state: "rebuild_spawning",
    });
    return ok(memo);
  },
  // No undo: as in Nova, a server that cannot be built there is there, in ERROR.
};

const spawn: Step<Context, Memo> = {
  name: "spawn",
  async run(context, memo) {
    enter(context, "rebuild_spawning");
    const spec = guestSpecOf(context);
    const done = memo.move?.on_disk
      ? await callHost(context, "finish_migration", { spec, start: !isOff(memo), from: sourceOf(memo) }, FOR_EVER)
      : await callHost(context, "spawn", spec, FOR_EVER);
    if (!done.ok) {
      context.patch({ vm_state: "error" });
      return ending(context, memo, "failed", done.error);
    }
    context.patch(powered(context, done.value));
    return ok(memo);
  },
  // No undo: the claim, and the guest with it, stay for the server to be deleted or rebuilt.
};

/** What was off is off; from 2.95 on everything is, until its user starts it. */
const isOff = ({ was, move }: Memo) => was === "stopped" || move?.off === true;

const stop: Step<Context, Memo> = {
  name: "power_off",
  async run(context, memo) {
    if (!isOff(memo)) return ok(memo);
    const done = await powerOff.run(context, memo);
    if (!done.ok) {
      context.patch({ vm_state: "error" });
      return ending(context, memo, "failed", done.error);
    }
    return done;
  },
  // No undo: a guest that is off can be started.
};

const leave: Step<Context, Memo> = {
  name: "leave",
  async run(context, memo) {
    const { uuid, power_state } = context.record();
    await tell(context, { status: "done" });
    await context.host(sourceOf(memo)).evacuated({ server: uuid, generation: generationThere(memo) });
    const vm_state = power_state === POWER_STATE.SHUTDOWN ? "stopped" : "active";
    context.patch({ vm_state, task_state: null, fault: null, progress: 100, launched_at: new Date().toISOString() });
    return ok(memo);
  },
  // No undo: it is the last step.
};

export const evacuate: ServerFlow = {
  name: "evacuate",
  event: "conductor_rebuild_server",
  steps: [release, recorded("evacuation", "accepted"), schedule, claim, look, arrive, spawn, stop, leave],
  failed(context, failure) {
    context.patch({ task_state: null, fault: faultOf(failure) });
  },
};

/** What was left on a host that the server was evacuated from is gone: the record of that move is `completed`. */
export async function closeEvacuation(keeper: Keeper, env: Env, host: string): Promise<void> {
  const record = keeper.record();
  if (record === null) return;
  const project = env.PROJECT.getByName(record.project_id);
  const done = { instance_uuid: record.uuid, migration_type: "evacuation", status: "done", source_compute: host };
  for (const { uuid } of await project.migrations(done)) await project.changeMigration(uuid, { status: "completed" });
  const { vm_state, evacuated_from = [] } = keeper.record() ?? record;
  if (vm_state === "deleted" || !evacuated_from.includes(host)) return;
  await keeper.touch({ evacuated_from: evacuated_from.filter((one) => one !== host) });
}
