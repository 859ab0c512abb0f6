/** GET /os-availability-zone and /detail (nova/api/openstack/compute/availability_zone.py). */
import type { Context } from "hono";
import type { KnownHost } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { operation, type Paths } from "./operation.ts";
import { BINARY } from "./services.ts";
import { microseconds } from "./timestamp.ts";

const RULE = "os_compute_api:os-availability-zone";

export const availabilityZones: Paths = {
  "/os-availability-zone": {
    GET: operation({
      summary: "List availability zones",
      rule: `${RULE}:list`,
      role: "reader",
      status: 200,
      answers: "availabilityZoneInfo",
      run: async (c) => c.json({ availabilityZoneInfo: await zones(c, false) }),
    }),
  },
  "/os-availability-zone/detail": {
    GET: operation({
      summary: "List availability zones with their hosts",
      rule: `${RULE}:detail`,
      role: "admin",
      status: 200,
      answers: "availabilityZoneInfo",
      run: async (c) => c.json({ availabilityZoneInfo: await zones(c, true) }),
    }),
  },
};

/** A zone is available while one of its hosts is enabled; only then are its hosts told. */
async function zones(c: Context<AppEnv>, detailed: boolean): Promise<object[]> {
  const byZone = new Map<string, KnownHost[]>();
  for (const host of await c.env.SCHEDULER.getByName("default").hosts()) {
    byZone.set(host.zone, [...(byZone.get(host.zone) ?? []), host]);
  }
  const shown = [...byZone].sort(([a], [b]) => (a < b ? -1 : 1));
  const isOpen = (hosts: KnownHost[]) => hosts.some(({ enabled }) => enabled);
  return [...shown.filter(([, hosts]) => isOpen(hosts)), ...shown.filter(([, hosts]) => !isOpen(hosts))].map(
    ([zoneName, hosts]) => ({
      zoneName,
      zoneState: { available: isOpen(hosts) },
      hosts:
        detailed && isOpen(hosts)
          ? Object.fromEntries(hosts.map((host) => [host.host, { [BINARY]: entry(host) }]))
          : null,
    }),
  );
}

function entry({ up, enabled, updated_at }: KnownHost): object {
  return { available: up, active: enabled, updated_at: microseconds(updated_at) };
}
