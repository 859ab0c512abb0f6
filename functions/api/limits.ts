/** GET /limits (nova/api/openstack/compute/limits.py, views/limits.py). */
import type { Context, Hono } from "hono";
import type { Quota } from "../project/project.ts";
import type { Resource, Usage } from "../project/quota.ts";
import type { AppEnv } from "./app-env.ts";
import { requireAdmin } from "./policy.ts";
import { checkProject } from "./projects.ts";
import { resource } from "./resource.ts";
import { limitsQuery } from "./schema/quota.ts";
import { query } from "./validate.ts";

/** A number in the answer: a limit, or what is used of one; `until`: the last microversion 2.x that has it. */
type Row = { limit: Resource; until?: number } | { used: Resource; until?: number };

const ABSOLUTE: Record<string, Row> = {
  maxTotalInstances: { limit: "instances" },
  maxTotalCores: { limit: "cores" },
  maxTotalRAMSize: { limit: "ram" },
  maxTotalKeypairs: { limit: "key_pairs" },
  maxServerMeta: { limit: "metadata_items" },
  maxImageMeta: { limit: "metadata_items", until: 38 },
  maxServerGroups: { limit: "server_groups" },
  maxServerGroupMembers: { limit: "server_group_members" },
  maxPersonality: { limit: "injected_files", until: 56 },
  maxPersonalitySize: { limit: "injected_file_content_bytes", until: 56 },
  maxSecurityGroups: { limit: "security_groups", until: 35 },
  maxSecurityGroupRules: { limit: "security_group_rules", until: 35 },
  maxTotalFloatingIps: { limit: "floating_ips", until: 35 },
  totalInstancesUsed: { used: "instances" },
  totalCoresUsed: { used: "cores" },
  totalRAMUsed: { used: "ram" },
  totalServerGroupsUsed: { used: "server_groups" },
  totalSecurityGroupsUsed: { used: "security_groups", until: 35 },
  totalFloatingIpsUsed: { used: "floating_ips", until: 35 },
};

export function limits(app: Hono<AppEnv>): void {
  resource(app, "/limits", { GET: show });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const { tenant_id } = query(c, limitsQuery(c.var.minor));
  const { actor, minor } = c.var;
  const project = tenant_id || actor.project_id;
  if (project !== actor.project_id) {
    requireAdmin(c, "os_compute_api:limits:other_project");
    await checkProject(c, project);
  }
  const quota = await c.env.PROJECT.getByName(project).quota(null);
  const rows = Object.entries(ABSOLUTE).filter(([, { until = minor }]) => minor <= until);
  return c.json({
    limits: { rate: [], absolute: Object.fromEntries(rows.map(([name, row]) => [name, value(quota, row)])) },
  });
}

/** Clients reckon what is left from these: a server that still builds counts, as it has in Nova since Pike. */
function value({ limits, in_use, reserved }: Quota, row: Row): number {
  if ("limit" in row) return limits[row.limit];
  const counted = (usage: Usage): Partial<Record<Resource, number>> => usage;
  return (counted(in_use)[row.used] ?? 0) + (counted(reserved)[row.used] ?? 0);
}
