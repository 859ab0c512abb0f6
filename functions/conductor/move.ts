/** What every flow has in common that takes a server to another host (nova: conductor/tasks/base.py, objects/migration.py). */
import type { Flavor } from "../compute/flavor.ts";
import type { NewMigration } from "../project/migration.ts";
import { METHODS } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import type { RequestSpec } from "../scheduler/host-state.ts";
import type { Context, Memo, MoveMemo } from "./context.ts";
import { choose, noValidHost, placed, specOf, unclaim } from "./placement.ts";
import { lastGeneration, nextGeneration } from "./record.ts";
import { type Failure, type Step, Wait } from "./saga.ts";

/** Where the server is moved from: it was there when the flow began. */
export const sourceOf = (memo: Memo): string => memo.hosts[0] ?? "";

/** The host that it is being moved to. */
export const destinationOf = (memo: Memo): string => memo.hosts[memo.at] ?? "";

/** The server's incarnation at the destination. */
export const generationThere = (memo: Memo): number => memo.move?.generation ?? 0;

/** Whether the server is at its destination already: nothing brings it back from there but another move, or a revert. */
export function hasSwitched(context: Context, memo: Memo): boolean {
  const { host, resized } = context.record();
  return host !== sourceOf(memo) || resized?.migration === context.saga;
}

/** Writes a later word on the move down. */
export function tell(context: Context, change: Partial<NewMigration>): Promise<void> {
  return context.project().changeMigration(context.saga, change);
}

/** Leaves Nova's record of the move; a repeated step writes the same one. */
export function recorded(type: NewMigration["migration_type"], status: string): Step<Context, Memo> {
  return {
    name: "record",
    async run(context, memo) {
      const record = context.record();
      const { uuid, host, node, flavor, new_flavor, user_id, project_id } = record;
      const at = new Date(context.startedAt).toISOString();
      await context.project().saveMigration({
        uuid: context.saga,
        instance_uuid: uuid,
        migration_type: type,
        status,
        source_compute: host,
        source_node: node,
        dest_compute: null,
        dest_node: null,
        dest_host: null,
        old_instance_type_id: flavor.flavorid,
        new_instance_type_id: (new_flavor ?? flavor).flavorid,
        created_at: at,
        updated_at: at,
        user_id,
        project_id,
        hidden: false,
      });
      const generation = memo.move?.generation ?? nextGeneration(record);
      context.patch({ tried_generation: Math.max(generation, lastGeneration(record)), screen_host: null });
      return ok({ ...memo, hosts: [host ?? ""], at: 0, move: { ...memo.move, generation } });
    },
    async undo(context, memo) {
      await context.endPipe();
      await tell(context, { status: memo.move?.ends ?? "error" });
    },
  };
}

/** What is to be moved. `stays`: whether it may be to the host where it is. */
export type Moved = { flavor: Flavor; stays?: boolean };

/** What the scheduler is asked: a host that is none of those that were tried, for a server of `flavor`. */
async function moveSpec(context: Context, memo: Memo, { flavor, stays = false }: Moved): Promise<RequestSpec> {
  const { target } = memo.move ?? {};
  const tried = memo.hosts.slice(stays ? 1 : 0);
  const spec = await specOf(context, tried, {
    flavor,
    // Where it was once created at is no matter any more.
    requested_host: target?.forced ? target.host : null,
    requested_destination: target && !target.forced ? target.host : null,
  });
  return { ...spec, ignored_hosts: tried };
}

/** More hosts to try, after all that are in the memo. */
export async function chooseDestination(context: Context, memo: Memo, moved: Moved): Promise<Result<Memo, Failure>> {
  const zones = memo.zones ?? memo.hosts.map(() => context.record().zone ?? "");
  const chosen = await choose(context, { ...memo, zones }, await moveSpec(context, memo, moved));
  if (!chosen.ok) return chosen;
  context.note(chosen.value);
  return chosen;
}

/** Writes down where it goes. */
export async function tellDestination(context: Context, memo: Memo): Promise<void> {
  const destination = destinationOf(memo);
  const there = await context.host(destination).state();
  await tell(context, {
    dest_compute: destination,
    dest_node: there?.inventory.hypervisor_hostname ?? null,
    dest_host: there?.inventory.host_ip ?? null,
  });
}

/** The server, once it is at its destination. */
export async function atDestination(context: Context, memo: Memo) {
  const host = destinationOf(memo);
  const there = await context.host(host).state();
  return {
    host,
    node: there?.inventory.hypervisor_hostname ?? null,
    zone: memo.zones?.[memo.at] ?? null,
    generation: generationThere(memo),
  };
}

/** Why no guest of the source can be at the destination; null when it can (nova: InvalidHypervisorType). */
export async function mismatch(context: Context, source: string, destination: string): Promise<Failure | null> {
  const [from, to] = await Promise.all([context.host(source).state(), context.host(destination).state()]);
  if (from === null || to === null) return noValidHost(`${from === null ? source : destination} is not known.`);
  if (from.inventory.hypervisor_type === to.inventory.hypervisor_type) return null;
  const message = "The supplied hypervisor type of is invalid.";
  return { code: 400, message, details: `${destination} has ${to.inventory.hypervisor_type}.` };
}

/**
 * Whether the destination sees the guest's files, where the source has left them (nova: instance_on_disk). Waits for one
 * that is not connected as long as it is up; then, and of one that cannot tell, it is no.
 */
export async function isOnDisk(context: Context, memo: Memo): Promise<boolean> {
  const host = destinationOf(memo);
  const stub = context.host(host);
  const order = { host: sourceOf(memo) };
  const asked = await stub.ask("instance_on_disk", context.record().uuid, generationThere(memo), order);
  if (asked.ok) return METHODS.instance_on_disk.value.parse(asked.value).on_disk;
  const state = await stub.state();
  if (state?.up && !state.connected) throw new Wait(`instance_on_disk on ${host}`);
  return false;
}

/** Gives up all hosts that were tried: what is there of the guest goes, and their claims with it. */
export async function giveUpDestinations(context: Context, memo: Memo): Promise<void> {
  if (hasSwitched(context, memo)) return;
  for (const host of memo.hosts.slice(1, memo.at + 1)) await giveUp(context, memo, host);
  await placed(context, sourceOf(memo));
}

export function giveUp(context: Context, memo: Memo, host: string): Promise<void> {
  return unclaim(context, host, { generation: generationThere(memo), beside: sourceOf(memo) });
}

/**
 * Ends what a move has left that was cut off, or that nobody is to confirm any more: on other hosts, on the server's own,
 * and in its records, where an unconfirmed one ends as `status`.
 */
export async function endMove(context: Context, memo: Memo, status: "error" | "confirmed"): Promise<void> {
  const record = context.record();
  const { uuid, host, flavor, resized } = record;
  const generation = lastGeneration(record);
  // One that is being reverted has its old flavor already.
  const keep = resized && resized.flavor.flavorid !== flavor.flavorid ? "new" : "old";
  if (memo.cut_off) await context.project().changeMigration(memo.cut_off, { status: "error" });
  for (const name of memo.hosts) {
    if (name !== host) await context.host(name).dismiss({ server: uuid, generation });
  }
  if (host !== null) await context.host(host).settleResize(uuid, keep, generation);
  if (resized) await context.project().changeMigration(resized.migration, { status });
  // Last: a repeated step finds what it found before.
  if (resized || record.new_flavor !== null) context.patch({ resized: null, new_flavor: null });
}

/** The memo of a move that ends as `status` says, kept where the undo of it reads it. */
export function ending(context: Context, memo: Memo, ends: NonNullable<MoveMemo["ends"]>, why: Failure) {
  context.note({ ...memo, move: { ...memo.move, ends } });
  return err(why);
}
