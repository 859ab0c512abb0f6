/** What the scheduler is asked for a server (nova: RequestSpec.from_components). */
import { resourcesOf } from "../compute/claims.ts";
import type { GroupPlacement } from "../project/groups.ts";
import type { RequestSpec } from "../scheduler/host-state.ts";
import type { CreateSpec } from "./record.ts";

/** The hints that name servers. */
const OF_SERVERS = ["same_host", "different_host"] as const;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export type Asked = {
  /** What placing it has to keep to; null when it is in no group. */
  group: GroupPlacement | null;
  /** Hosts that were tried for it before. */
  tried: string[];
  /** Where another server is; null when it is nowhere. */
  hostOf(server: string): Promise<string | null>;
};

export async function requestSpec(record: CreateSpec, { group, tried, hostOf }: Asked): Promise<RequestSpec> {
  const { uuid, project_id, flavor, image, availability_zone, requested_host } = record;
  const hints = record.scheduler_hints ?? {};
  const named = new Set(OF_SERVERS.flatMap((hint) => hints[hint] ?? []).filter((server) => UUID.test(server)));
  const places = [...named].map(async (server) => [server, await hostOf(server)] as const);
  return {
    server: uuid,
    project_id,
    ...resourcesOf(flavor),
    flavor: { name: flavor.name, extra_specs: flavor.extra_specs },
    image: { id: image.id, properties: record.image_properties ?? {} },
    availability_zone,
    requested_host,
    requested_destination: record.requested_destination ?? null,
    group,
    hints,
    hinted_hosts: Object.fromEntries(await Promise.all(places)),
    tried,
  };
}
