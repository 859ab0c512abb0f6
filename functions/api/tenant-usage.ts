/** /os-simple-tenant-usage (nova/api/openstack/compute/simple_tenant_usage.py). */
import type { Context } from "hono";
import type { z } from "zod";
import { hoursWithin, type ServerUsage } from "../project/usage.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { requireReaderOf } from "./policy.ts";
import { checkProject } from "./projects.ts";
import { parseTime, usagePage, usagePeriod } from "./schema/tenant-usage.ts";
import { microseconds } from "./timestamp.ts";
import { query } from "./validate.ts";

const PATH = "os-simple-tenant-usage";
const RULE = "os_compute_api:os-simple-tenant-usage";

/** From `start` to `end`, ms since the epoch, told at `now`. */
type Period = { start: number; end: number; now: number; detailed: boolean };
type Row = ServerUsage & { project: string };

export const tenantUsage: Paths = {
  [`/${PATH}`]: {
    GET: operation({
      summary: "Tell what every project's servers took over a time",
      rule: `${RULE}:list`,
      role: "admin",
      query: usagePeriod,
      status: 200,
      answers: "tenant_usages",
      run: (c, { query }) => list(c, query),
    }),
  },
  [`/${PATH}/:id`]: {
    GET: operation({
      summary: "Tell what a project's servers took over a time",
      rule: `${RULE}:show`,
      role: "reader",
      query: usagePeriod,
      status: 200,
      answers: "tenant_usage",
      run: (c, { query }) => show(c, query),
    }),
  },
};

type Asked = z.infer<ReturnType<typeof usagePeriod>>;

async function list(c: Context<AppEnv>, asked: Asked): Promise<Response> {
  const period = periodOf(asked);
  const projects = await c.env.IDENTITY.getByName("default").projects();
  const parts = await Promise.all(projects.map(({ id }) => rowsOf(c, id, period)));
  // Nova's pages run through the servers by project and uuid.
  const rows = parts.flat().sort((a, b) => (a.project < b.project ? -1 : a.project > b.project ? 1 : 0));
  const { page, next } = pageOf(c, rows, PATH);
  const tenant_usages = [...Map.groupBy(page, (row) => row.project).values()].map((of) => summary(of, period));
  return c.json({ tenant_usages, ...(next ? { tenant_usages_links: next } : {}) });
}

async function show(c: Context<AppEnv>, asked: Asked): Promise<Response> {
  const id = c.req.param("id") ?? "";
  requireReaderOf(c, id, `${RULE}:show`);
  const period = periodOf(asked);
  await checkProject(c, id);
  const { page, next } = pageOf(c, await rowsOf(c, id, period), `${PATH}/${id}`);
  const tenant_usage = page.length === 0 ? {} : summary(page, { ...period, detailed: true });
  return c.json({ tenant_usage, ...(next ? { tenant_usage_links: next } : {}) });
}

/** The period asked for, which ends now at the latest; a time that is not given is now. */
function periodOf(asked: Asked): Period {
  const now = Date.now();
  const time = (text: string | undefined) => {
    const parsed = text ? parseTime(text) : now;
    if (parsed === null) throw badRequest("Invalid datetime string: Datetime is in invalid format");
    return parsed;
  };
  const [start, end] = [time(asked.start), time(asked.end)];
  if (start > end || (start === end && asked.start)) {
    throw badRequest("Invalid start time. The start time cannot occur after the end time.");
  }
  return { start, end: Math.min(end, now), now, detailed: asked.detailed === "1" };
}

async function rowsOf(c: Context<AppEnv>, project: string, { start, end }: Period): Promise<Row[]> {
  const [from, to] = [new Date(start).toISOString(), new Date(end).toISOString()];
  const rows = await c.env.PROJECT.getByName(project).serverUsage(from, to);
  return rows.map((row) => ({ ...row, project }));
}

/** The page asked for, and the link to the next: pages came with 2.40. */
function pageOf(c: Context<AppEnv>, all: Row[], path: string): ReturnType<typeof paged<Row>> {
  if (!has(c.var.minor, "usage.paging")) return { page: all, next: undefined };
  return paged(c, { all, idOf: (row) => row.uuid, path, asked: query(c, usagePage) });
}

/** One project's sums over its servers, at least one of them. */
function summary(rows: readonly Row[], period: Period): object {
  const usages = rows.map((row) => ({ row, hours: hoursWithin(row, period.start, period.end) }));
  const sum = (of: (row: Row) => number) => usages.reduce((total, { row, hours }) => total + of(row) * hours, 0);
  return {
    tenant_id: rows[0]?.project,
    total_hours: sum(() => 1),
    total_vcpus_usage: sum((row) => row.vcpus),
    total_memory_mb_usage: sum((row) => row.ram),
    total_local_gb_usage: sum((row) => row.disk),
    start: microseconds(new Date(period.start).toISOString()),
    stop: microseconds(new Date(period.end).toISOString()),
    ...(period.detailed ? { server_usages: usages.map(({ row, hours }) => server(row, hours, period.now)) } : {}),
  };
}

function server(row: Row, hours: number, now: number): object {
  const ended = row.terminated_at === null ? now : Date.parse(row.terminated_at);
  return {
    instance_id: row.uuid,
    name: row.name,
    hours,
    flavor: row.flavor,
    memory_mb: row.ram,
    local_gb: row.disk,
    vcpus: row.vcpus,
    tenant_id: row.project,
    started_at: microseconds(row.launched_at),
    ended_at: microseconds(row.terminated_at),
    state: row.state,
    uptime: Math.max(0, Math.floor((ended - Date.parse(row.launched_at)) / 1000)),
  };
}
