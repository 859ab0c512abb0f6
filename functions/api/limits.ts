/** GET /limits (nova/api/openstack/compute/limits.py, views/limits.py). */
import type { Context } from "hono";
import type { Quota } from "../project/project.ts";
import type { Resource, Usage } from "../project/quota.ts";
import type { AppEnv } from "./app-env.ts";
import { type Feature, has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { requireAdmin } from "./policy.ts";
import { checkProject } from "./projects.ts";
import { limitsQuery } from "./schema/quota.ts";

/** A number in the answer: a limit, or what is used of one. */
type Row = ({ limit: Resource } | { used: Resource }) & { on?: Feature };

const ABSOLUTE: Record<string, Row> = {
  maxTotalInstances: { limit: "instances" },
  maxTotalCores: { limit: "cores" },
  maxTotalRAMSize: { limit: "ram" },
  maxTotalKeypairs: { limit: "key_pairs" },
  maxServerMeta: { limit: "metadata_items" },
  maxImageMeta: { limit: "metadata_items", on: "limits.image-meta" },
  maxServerGroups: { limit: "server_groups" },
  maxServerGroupMembers: { limit: "server_group_members" },
  maxPersonality: { limit: "injected_files", on: "limits.personality" },
  maxPersonalitySize: { limit: "injected_file_content_bytes", on: "limits.personality" },
  maxSecurityGroups: { limit: "security_groups", on: "limits.network" },
  maxSecurityGroupRules: { limit: "security_group_rules", on: "limits.network" },
  maxTotalFloatingIps: { limit: "floating_ips", on: "limits.network" },
  totalInstancesUsed: { used: "instances" },
  totalCoresUsed: { used: "cores" },
  totalRAMUsed: { used: "ram" },
  totalServerGroupsUsed: { used: "server_groups" },
  totalSecurityGroupsUsed: { used: "security_groups", on: "limits.network" },
  totalFloatingIpsUsed: { used: "floating_ips", on: "limits.network" },
};

export const limits: Paths = {
  "/limits": {
    GET: operation({
      summary: "Show the limits of a project, and what is used of them",
      rule: "os_compute_api:limits",
      role: "reader",
      query: limitsQuery,
      status: 200,
      answers: "limits",
      run: (c, { query }) => show(c, query.tenant_id),
    }),
  },
};

async function show(c: Context<AppEnv>, tenant: string | undefined): Promise<Response> {
  const { actor, minor } = c.var;
  const project = tenant || actor.project_id;
  if (project !== actor.project_id) {
    requireAdmin(c, "os_compute_api:limits:other_project");
    await checkProject(c, project);
  }
  const quota = await c.env.PROJECT.getByName(project).quota(null);
  const rows = Object.entries(ABSOLUTE).filter(([, { on }]) => on === undefined || has(minor, on));
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
