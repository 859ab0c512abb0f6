/** Finding a host for a server and claiming it: the scheduler proposes, the host and the server's group dispose. */
import { type ClaimRequest, resourcesOf } from "../compute/claims.ts";
import type { Flavor } from "../compute/flavor.ts";
import type { CallErrorCode } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import { explain } from "../scheduler/decision.ts";
import type { RequestSpec } from "../scheduler/host-state.ts";
import type { CallFailure, Context, Memo } from "./context.ts";
import type { ServerRecord } from "./record.ts";
import { requestSpec } from "./request-spec.ts";
import { type Failure, Wait } from "./saga.ts";

/** Deliberately vague, as Nova's is: which filter removed whom is in `details`, the admin's to know. */
export const noValidHost = (details: string): Failure => ({
  code: 500,
  message: "No valid host was found. There are not enough hosts available.",
  details,
});

/** What the scheduler is asked for the server as it is, but for `change`. */
export async function specOf(
  context: Context,
  tried: string[],
  change: Partial<ServerRecord> = {},
): Promise<RequestSpec> {
  const record = { ...context.record(), ...change };
  const group = record.server_group ? await context.project().groupPlacement(record.uuid) : null;
  return requestSpec(record, { group, tried, hostOf: (server) => context.hostOf(server) });
}

/** Hosts to try, the best first, appended to those that were tried; `at` is the first of them. */
export async function choose(context: Context, memo: Memo, spec?: RequestSpec): Promise<Result<Memo, Failure>> {
  const { chosen, decision } = await context.scheduler().select(spec ?? (await specOf(context, memo.hosts)));
  context.decided(decision);
  if (chosen.length === 0) return err(noValidHost(explain(decision)));
  const hosts = [...memo.hosts, ...chosen.map(({ host }) => host)];
  const zones = [...(memo.zones ?? []), ...chosen.map(({ zone }) => zone)];
  return ok({ ...memo, hosts, zones, at: memo.hosts.length });
}

export type Claimed = { memo: Memo; node: string };
/**
 * `stale`: a host had no room any more, or the group forbade it; more is known now than when they were chosen.
 * `away`: an agent of theirs was not connected, as all are for a moment after an outage of the edge.
 * `refused`: why each host did, for operators.
 */
export type Refused = { stale: boolean; away: boolean; refused: string[] };

/**
 * What is claimed for a server that is not to be at the host as it is. `misfit`: why a host is not asked at all; null
 * when it is.
 */
export type ClaimAs = Pick<ClaimRequest, "generation" | "screen_since"> & {
  flavor: Flavor;
  misfit?: (host: string) => Promise<Failure | null>;
  /** The host where the server is and stays: this is claimed there beside what it has. */
  beside?: string;
};

/** Gives a claim up, and what there is of the guest by it; a server that stays there keeps what it has. */
export async function unclaim(
  context: Context,
  host: string,
  { generation, beside }: Pick<ClaimAs, "generation" | "beside">,
): Promise<void> {
  const server = context.record().uuid;
  if (host === beside) await context.host(host).endResize(server, "old", generation);
  else await context.host(host).dismiss({ server, generation });
}

/** Claims the first host that takes the server, from `memo.at` on. */
export async function claimFirst(
  context: Context,
  memo: Memo,
  as: ClaimAs = context.record(),
): Promise<Result<Claimed, Refused>> {
  const { uuid, image_properties = {} } = context.record();
  const { flavor, generation, screen_since, misfit, beside } = as;
  let stale = false;
  let away = false;
  const refused: string[] = [];
  for (let at = memo.at; at < memo.hosts.length; at++) {
    const host = memo.hosts[at] as string;
    // Written down before it is asked: a claim that this object never hears of must still be undone.
    if (at !== memo.at) context.note({ ...memo, at });
    const wrong = (await misfit?.(host)) ?? null;
    if (wrong !== null) {
      stale = true;
      refused.push(`${host}: ${wrong.details ?? wrong.message}`);
      continue;
    }
    const how = { ...(screen_since !== undefined && { screen_since }), ...(host === beside && { resizes: true }) };
    const wanted = { server: uuid, generation, ...how, ...resourcesOf(flavor), image_properties };
    const claimed = await context.host(host).claim(wanted);
    if (claimed.ok && (await placed(context, host))) return ok({ memo: { ...memo, at }, node: claimed.value.node });
    if (claimed.ok) await unclaim(context, host, as);
    // A host that is down stays so for longer than a build waits.
    stale ||= claimed.ok || (claimed.error.kind !== "down" && claimed.error.kind !== "away");
    away ||= !claimed.ok && claimed.error.kind === "away";
    refused.push(`${host}: ${claimed.ok ? "its group is there" : refusal(claimed.error)}`);
  }
  return err({ stale, away, refused });
}

/** How often other hosts are asked for when those that were chosen had been taken: more builds than that rarely race. */
const MAX_ROUNDS = 10;

/**
 * As `claimFirst`; when the hosts had been taken meanwhile, `more` has others, noted, and there may be none (null).
 * Waits for agents that are away.
 */
export async function claimInRounds(
  context: Context,
  memo: Memo,
  more: (memo: Memo) => Promise<Result<Memo, Failure> | null>,
  as?: ClaimAs,
): Promise<Result<Claimed, Failure>> {
  let trying = memo;
  const refused: string[] = [];
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const claimed = await claimFirst(context, trying, as);
    if (claimed.ok) return claimed;
    refused.push(...claimed.error.refused);
    if (claimed.error.away && !claimed.error.stale) {
      context.note(trying);
      throw new Wait("a host's agent");
    }
    const next = claimed.error.stale ? await more(trying) : null;
    if (next === null) break;
    if (!next.ok) return next;
    trying = next.value;
  }
  return err(noValidHost(`The hosts that were chosen refused: ${refused.join("; ")}.`));
}

function refusal(error: { kind: string; classes?: string[] }): string {
  return error.classes ? `${error.kind} ${error.classes.join(", ")}` : error.kind;
}

/**
 * Whether the server's group has it on `host`: asked after the claim, in the one place that knows all of the group, as
 * two builds at once may have been sent to one host (nova: _validate_instance_group_policy).
 */
export async function placed(context: Context, host: string | null): Promise<boolean> {
  const { uuid, server_group } = context.record();
  return !server_group || (await context.project().placeMember(uuid, host));
}

/** What another host would answer no better (nova: BuildAbortException); all else is worth another try. */
const HOPELESS: readonly CallErrorCode[] = ["BuildAbortException", "ImageUnacceptable", "InvalidCall", "NotSupported"];

/**
 * Where a spawn that failed goes on: the next of the alternates that takes the server, claimed; its own failure when
 * another host would not help, or when there is none left (nova: RescheduledException, MaxRetriesExceeded). As in Nova
 * (populate_retry) a host that was forced is the only one that is tried.
 */
export async function nextHost(context: Context, memo: Memo, failure: CallFailure): Promise<Result<Memo, Failure>> {
  const { uuid, generation, host, requested_host } = context.record();
  if (failure.of === undefined) return err(failure);
  if (HOPELESS.includes(failure.of)) {
    const message = `Build of instance ${uuid} aborted: ${failure.said}`;
    return err({ code: 500, message, details: `${host}: ${failure.message}` });
  }
  const { MAX_ATTEMPTS } = context.config;
  if (requested_host !== null || MAX_ATTEMPTS === 1) return err(failure);
  // Its claim may be free only when it returns; the undo of the claim asks all of them again.
  if (host !== null) await context.host(host).dismiss({ server: uuid, generation });
  await placed(context, null);
  // Cut off before it was claimed, the next one is where the memo already is.
  const again = memo.hosts[memo.at] !== host;
  const failures = (memo.failures ?? 0) + (again ? 0 : 1);
  const next = { ...memo, failures, at: again ? memo.at : memo.at + 1 };
  context.note(next);
  const details = `${host}: ${failure.message}`;
  if (failures >= MAX_ATTEMPTS) {
    const why = `Exceeded max scheduling attempts ${MAX_ATTEMPTS} for instance ${uuid}. Last exception: ${failure.said}`;
    return err(maxRetriesExceeded(why, details));
  }
  const claimed = await claimFirst(context, next);
  if (!claimed.ok) {
    const why = `Exhausted all hosts available for retrying build failures for instance ${uuid}.`;
    return err(maxRetriesExceeded(why, [details, ...claimed.error.refused].join("; ")));
  }
  takePlace(context, claimed.value);
  context.triedAgain(host, failure.message);
  return ok(claimed.value.memo);
}

const maxRetriesExceeded = (why: string, details: string): Failure => ({
  code: 500,
  message: `Exceeded maximum number of retries. ${why}`,
  details,
});

/** Writes down where the server is now. */
export function takePlace(context: Context, { node, memo }: Claimed): void {
  const [host, zone] = [memo.hosts[memo.at] ?? null, memo.zones?.[memo.at] ?? null];
  context.patch({ host, node, zone, task_state: "spawning" });
}
