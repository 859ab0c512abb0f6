/**
 * /os-instance_usage_audit_log (nova/api/openstack/compute/instance_usage_audit_log.py): which hosts have sent usage
 * notifications for a period. There are no notifications here, and the answer is Nova's where none are configured: of
 * the last whole month, and no host has run.
 */
import type { Context } from "hono";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";

const RULE = "os_compute_api:os-instance-usage-audit-log";

export const usageAuditLog: Paths = {
  "/os-instance_usage_audit_log": {
    GET: operation({
      summary: "List usage audits of the last month; there are none",
      rule: `${RULE}:list`,
      role: "admin",
      status: 200,
      answers: "instance_usage_audit_logs",
      run: async (c) => c.json({ instance_usage_audit_logs: await log(c, new Date()) }),
    }),
  },
  "/os-instance_usage_audit_log/:before": {
    GET: operation({
      summary: "Show usage audits of the month before a time; there are none",
      rule: `${RULE}:show`,
      role: "admin",
      status: 200,
      answers: "instance_usage_audit_log",
      run: async (c) => c.json({ instance_usage_audit_log: await log(c, before(c)) }),
    }),
  },
};

/** `2026-05-05 10:20:30` or with a fraction, in UTC. */
function before(c: Context<AppEnv>): Date {
  const text = c.req.param("before") ?? "";
  const time = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?$/.test(text)
    ? Date.parse(`${text.replace(" ", "T")}Z`)
    : NaN;
  if (Number.isNaN(time)) throw badRequest(`Invalid timestamp for date ${text.slice(0, 64)}`);
  return new Date(time);
}

async function log(c: Context<AppEnv>, time: Date): Promise<object> {
  const hosts = (await c.env.SCHEDULER.getByName("default").hosts()).map(({ host }) => host);
  const month = (back: number) => new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() - back, 1));
  return {
    period_beginning: written(month(1)),
    period_ending: written(month(0)),
    num_hosts: hosts.length,
    num_hosts_done: 0,
    num_hosts_running: 0,
    num_hosts_not_run: hosts.length,
    hosts_not_run: hosts,
    total_instances: 0,
    total_errors: 0,
    overall_status: hosts.length === 0 ? "ALL hosts done. 0 errors." : `0 of ${hosts.length} hosts done. 0 errors.`,
    log: {},
  };
}

const written = (time: Date) => time.toISOString().slice(0, 19).replace("T", " ");
