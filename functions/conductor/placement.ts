/** Finding a host for a server and claiming it: the scheduler proposes, the host and the server's group dispose. */
import { err, ok, type Result } from "../result.ts";
import type { Context, Memo } from "./context.ts";
import type { Failure } from "./saga.ts";

/** Deliberately vague, as Nova's is: which filter removed whom is the admin's to know. */
export const NO_VALID_HOST: Failure = {
  code: 500,
  message: "No valid host was found. There are not enough hosts available.",
};

/** Hosts to try, the best first, appended to those that were tried; `at` is the first of them. */
export async function choose(context: Context, memo: Memo): Promise<Result<Memo, Failure>> {
  const { uuid, flavor, availability_zone, requested_host, requested_destination, server_group } = context.record();
  const group = server_group ? await context.project().groupPlacement(uuid) : null;
  const chosen = await context.scheduler().select({
    server: uuid,
    vcpus: flavor.vcpus,
    memory_mb: flavor.ram,
    disk_gb: flavor.disk,
    availability_zone,
    requested_host,
    requested_destination: requested_destination ?? null,
    group,
  });
  if (!chosen.ok) return err(NO_VALID_HOST);
  const hosts = [...memo.hosts, ...chosen.value.map(({ host }) => host)];
  const zones = [...(memo.zones ?? []), ...chosen.value.map(({ zone }) => zone)];
  return ok({ ...memo, hosts, zones, at: memo.hosts.length });
}

export type Claimed = { memo: Memo; node: string };

/**
 * Claims the first host that takes the server, from `memo.at` on. "crowded": hosts had room, and the group forbade
 * them; it knows more now than when they were chosen.
 */
export async function claimFirst(context: Context, memo: Memo): Promise<Result<Claimed, "lacking" | "crowded">> {
  const { uuid, generation, flavor } = context.record();
  let crowded = false;
  for (let at = memo.at; at < memo.hosts.length; at++) {
    const host = memo.hosts[at] as string;
    // Written down before it is asked: a claim that this object never hears of must still be undone.
    if (at !== memo.at) context.note({ ...memo, at });
    const claimed = await context.host(host).claim({
      server: uuid,
      generation,
      vcpus: flavor.vcpus,
      memory_mb: flavor.ram,
      disk_gb: flavor.disk,
    });
    if (claimed.ok && (await placed(context, host))) return ok({ memo: { ...memo, at }, node: claimed.value.node });
    if (claimed.ok) await context.host(host).dismiss({ server: uuid, generation });
    // A host that this build sent away before it was cut off, too.
    crowded ||= claimed.ok || claimed.error.kind === "dismissed";
  }
  return err(crowded ? "crowded" : "lacking");
}

/**
 * Whether the server's group has it on `host`: asked after the claim, in the one place that knows all of the group, as
 * two builds at once may have been sent to one host (nova: _validate_instance_group_policy).
 */
export async function placed(context: Context, host: string | null): Promise<boolean> {
  const { uuid, server_group } = context.record();
  return !server_group || (await context.project().placeMember(uuid, host));
}
