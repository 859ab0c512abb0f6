/**
 * Moving a guest while it runs (nova: conductor/tasks/live_migrate.py, compute live_migration). Whatever fails before
 * the guest runs at the destination leaves it where it is, as it is.
 *
 *   accepted   check_can_live_migrate_source, then hosts one after the other: check_can_live_migrate_destination, claim
 *   queued     until the source has its turn for it (max_concurrent_live_migrations)
 *   preparing  pre_live_migration at the destination
 *   running    live_migration at the source
 *   ---- from here on the server is at the destination; its screen, and so the links to it, are what they were ----
 *   post-migrating  post_live_migration_at_destination, and the source's claim is freed
 *   completed
 */
import { liveMigrationOptions } from "../move/options.ts";
import { type GuestReport, POWER_STATE } from "../protocol/guest.ts";
import { METHODS } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import { type Context, callHost, callOn, type Memo, type ServerFlow } from "./context.ts";
import { guestSpecOf } from "./guest-spec.ts";
import {
  atDestination,
  chooseDestination,
  destinationOf,
  ending,
  generationThere,
  giveUp,
  giveUpDestinations,
  hasSwitched,
  mismatch,
  recorded,
  sourceOf,
  tell,
  tellDestination,
} from "./move.ts";
import { claimFirst, noValidHost } from "./placement.ts";
import { powered } from "./power.ts";
import { faultOf } from "./record.ts";
import { type Failure, type SagaRow, type Step, Wait } from "./saga.ts";
import { bindingOf } from "./screen.ts";

const CALLED_OFF = { code: 409, message: "The live migration was called off." };
/** nova: MigrationPreCheckError. */
const refusedBy = (host: string, why: string): Failure => ({
  code: 400,
  message: `Migration pre-check error: ${why}`,
  details: `It is ${host} that refused.`,
});

/** Whether its user has called it off. */
const isCalledOff = (context: Context) => context.record().abort_requested === context.saga;

const checkSource: Step<Context, Memo> = {
  name: "check_source",
  async run(context, memo) {
    const { uuid, generation } = context.record();
    const source = sourceOf(memo);
    if (memo.move?.target?.host === source) {
      return err({ code: 400, message: `Unable to migrate instance (${uuid}) to current host (${source}).` });
    }
    const asked = await context.host(source).ask("check_can_live_migrate_source", uuid, generation, {});
    if (!asked.ok) return err(refusedBy(source, asked.error.message));
    const data = METHODS.check_can_live_migrate_source.value.parse(asked.value);
    return ok({ ...memo, move: { ...memo.move, data } });
  },
  // No undo: nothing was changed.
};

const schedule: Step<Context, Memo> = {
  name: "schedule",
  run: (context, memo) => chooseDestination(context, memo, context.record()),
  // No undo: a choice holds nothing.
};

/** Finds a host that can take the guest and has room for it, and claims it there. */
const findDestination: Step<Context, Memo> = {
  name: "find_destination",
  event: "compute_check_can_live_migrate_destination",
  async run(context, memo) {
    const { MIGRATE_MAX_RETRIES } = context.config;
    const { uuid, flavor } = context.record();
    let trying = memo;
    for (let tries = 0; ; tries++) {
      context.note(trying);
      const tried = await tryDestination(context, trying);
      if (tried.ok) {
        await tellDestination(context, tried.value);
        return tried;
      }
      const why = tried.error;
      if (tries === MIGRATE_MAX_RETRIES) {
        const message = `Exceeded max scheduling retries ${MIGRATE_MAX_RETRIES} for instance ${uuid} during live migration`;
        return err({ code: 500, message, details: why.message });
      }
      trying = { ...trying, at: trying.at + 1 };
      if (trying.at < trying.hosts.length) continue;
      const more = await chooseDestination(context, trying, { flavor });
      // Of a host that was named, and of one that was the last, it is told why it could not be.
      if (!more.ok) return err(why);
      trying = more.value;
    }
  },
  undo: giveUpDestinations,
};

/** The memo with what the host has said, and the guest claimed there; or why it cannot take the guest. */
async function tryDestination(context: Context, memo: Memo): Promise<Result<Memo, Failure>> {
  const record = context.record();
  const destination = destinationOf(memo);
  const wrong = await mismatch(context, sourceOf(memo), destination);
  if (wrong !== null) return err(wrong);
  const { block_migration = null } = memo.move ?? {};
  const asked = { ...arriving(context, memo), block_migration };
  const stub = context.host(destination);
  const checked = await stub.ask("check_can_live_migrate_destination", record.uuid, generationThere(memo), asked);
  if (!checked.ok) return err(refusedBy(destination, checked.error.message));
  const found = METHODS.check_can_live_migrate_destination.value.parse(checked.value);
  const as = { generation: generationThere(memo), flavor: record.flavor, screen_since: bindingOf(record).generation };
  const claimed = await claimFirst(context, { ...memo, hosts: memo.hosts.slice(0, memo.at + 1) }, as);
  if (claimed.ok) return ok({ ...memo, move: { ...memo.move, copied: block_migration ?? found.block_migration } });
  await giveUp(context, memo, destination);
  return err(noValidHost(claimed.error.refused.join("; ")));
}

/** What a destination is told of the guest. */
function arriving(context: Context, { move }: Memo) {
  const { data } = move ?? {};
  if (data === undefined) throw new Error("a live migration of what its source said nothing of");
  return { spec: guestSpecOf(context), data };
}

/** Whether its disks are copied, as the destination found it to be right. */
const isBlock = ({ move }: Memo) => move?.copied ?? true;

const queue: Step<Context, Memo> = {
  name: "queue",
  async run(context, memo) {
    if (isCalledOff(context)) return ending(context, memo, "cancelled", CALLED_OFF);
    if (await context.host(sourceOf(memo)).takeTurn(context.record().uuid)) return ok(memo);
    await tell(context, { status: "queued" });
    throw new Wait(`its turn at ${sourceOf(memo)}`);
  },
  undo: (context, memo) => context.host(sourceOf(memo)).giveTurn(context.record().uuid),
};

const prepare: Step<Context, Memo> = {
  name: "prepare",
  event: "compute_pre_live_migration",
  async run(context, memo) {
    if (isCalledOff(context)) return ending(context, memo, "cancelled", CALLED_OFF);
    await tell(context, { status: "preparing" });
    const peers = await peersOf(context, memo);
    if (!peers.ok) return peers;
    const order = { ...arriving(context, memo), block_migration: isBlock(memo), peer: peers.value.destination };
    const at = { host: destinationOf(memo), generation: generationThere(memo) };
    const done = await callOn(context, at, "pre_live_migration", order, "while_up");
    if (done === "waiting") throw new Wait(`pre_live_migration on ${at.host}`);
    if (!done.ok) return done;
    return isCalledOff(context) ? ending(context, memo, "cancelled", CALLED_OFF) : ok(memo);
  },
  // No undo: dismissing the claim takes it back.
};

const peersOf = (context: Context, memo: Memo) =>
  context.peers({ migration: context.saga, source: sourceOf(memo), destination: destinationOf(memo) });

const run: Step<Context, Memo> = {
  name: "migrate",
  event: "compute_live_migration",
  async run(context, memo) {
    const { generation } = context.record();
    if (isCalledOff(context)) return ending(context, memo, "cancelled", CALLED_OFF);
    await tell(context, { status: "running" });
    const peers = await peersOf(context, memo);
    if (!peers.ok) return peers;
    const options = liveMigrationOptions(context.config);
    const order = { peer: peers.value.source, options, block_migration: isBlock(memo) };
    const at = { host: sourceOf(memo), generation };
    // Only the source can tell where the guest is by now.
    const done = await callOn(context, at, "live_migration", order, Number.POSITIVE_INFINITY);
    if (done === "waiting") throw new Wait(`live_migration on ${at.host}`);
    if (!done.ok && done.error.of === "PostCopyFailed") {
      const { code, message } = done.error;
      return ok({ ...memo, move: { ...memo.move, lost: { code, message } } });
    }
    if (!done.ok) return ending(context, memo, "failed", done.error);
    return done.value.value.aborted === true ? ending(context, memo, "cancelled", CALLED_OFF) : ok(memo);
  },
  // No undo: a guest that has not gone is at the source.
};

const arrive: Step<Context, Memo> = {
  name: "arrive",
  event: "compute_post_live_migration_at_destination",
  async run(context, memo) {
    const record = context.record();
    const { lost } = memo.move ?? {};
    if (!hasSwitched(context, memo)) {
      context.patch({
        ...(await atDestination(context, memo)),
        seen_generation: generationThere(memo),
        screen_since: bindingOf(record).generation,
      });
    }
    await tell(context, { status: "post-migrating" });
    const patience = lost ? "while_up" : Number.POSITIVE_INFINITY;
    const done = await callHost(context, "post_live_migration_at_destination", {}, patience);
    const failure = lost ?? (done.ok ? null : done.error);
    if (failure !== null) {
      context.patch({ vm_state: "error" });
      await leaveSource(context, memo);
      return err(failure);
    }
    if (done.ok) context.patch(powered(context, done.value));
    return ok(memo);
  },
  // No undo: the guest runs at the destination, and nowhere else; one that is lost has what it last wrote to its disk there.
};

/** Its guest is gone from there: this frees the claim, and whatever was left. One that is away does so when it returns. */
async function leaveSource(context: Context, memo: Memo): Promise<void> {
  const { uuid } = context.record();
  const left = await context.host(sourceOf(memo)).dismiss({ server: uuid, generation: generationThere(memo) });
  if (left.state === "leaving" && left.connected) throw new Wait(`destroy on ${sourceOf(memo)}`);
}

const leave: Step<Context, Memo> = {
  name: "leave",
  async run(context, memo) {
    await leaveSource(context, memo);
    await context.endPipe();
    await tell(context, { status: "completed" });
    // Its host's word that it has gone off since was not taken while it migrated.
    const off = context.record().power_state === POWER_STATE.SHUTDOWN ? { vm_state: "stopped" as const } : {};
    context.patch({ ...off, task_state: null, fault: null, abort_requested: null });
    return ok(memo);
  },
  // No undo: it is the last step.
};

export const liveMigrate: ServerFlow = {
  name: "live_migrate",
  event: "conductor_live_migrate_instance",
  steps: [
    recorded("live-migration", "accepted"),
    checkSource,
    schedule,
    findDestination,
    queue,
    prepare,
    run,
    arrive,
    leave,
  ],
  failed(context, failure) {
    const fault = failure.message === CALLED_OFF.message ? {} : { fault: faultOf(failure) };
    context.patch({ task_state: null, abort_requested: null, ...fault });
  },
};

/**
 * Whether `host` says that the guest runs there by now. Its screen is there then, though the source says that it has gone
 * only once it has cleaned up after it, which takes a large guest seconds.
 */
export function hasCome({ flow, next, memo }: SagaRow<Memo>, host: string, report: GuestReport): boolean {
  const isUnderWay = flow === liveMigrate.name && stageOf({ next }) === "running";
  const isThere = destinationOf(memo) === host && generationThere(memo) === report.generation;
  return isUnderWay && isThere && report.power_state === POWER_STATE.RUNNING;
}

/** How far a live migration has come: before it copies anything, while it does, and once its guest has gone. */
export function stageOf({ next }: Pick<SagaRow<Memo>, "next">): "before" | "running" | "arrived" {
  const running = liveMigrate.steps.indexOf(run);
  return next < running ? "before" : next === running ? "running" : "arrived";
}
