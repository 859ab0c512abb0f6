/** Bodies and queries of what operators use: services, hypervisors (nova/api/openstack/compute/schemas/services.py, hypervisors.py). */
import { z } from "zod";
import { has } from "../history.ts";
import { boolean, name } from "./fields.ts";
import { last, truth, whole } from "./list.ts";
import { versioned } from "./versioned.ts";

/** nova: parameter_types.hostname. */
const host = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[a-zA-Z0-9-._]+$/, "It is not a host's name.");

export const listServices = versioned({ host: { schema: last }, binary: { schema: last } }, "query.strict");

const withServers = { schema: last.pipe(truth), on: "hypervisor.search-query" } as const;

export const listHypervisors = versioned(
  {
    limit: { schema: whole, on: "hypervisor.paging" },
    marker: { schema: last, on: "hypervisor.paging" },
    hypervisor_hostname_pattern: { schema: last.pipe(z.string().min(1)), on: "hypervisor.search-query" },
    with_servers: withServers,
  },
  "query.strict",
);

export const showHypervisor = versioned({ with_servers: withServers }, "query.strict");

const reason = name;

/** PUT /os-services/{id}, from 2.53 on. */
export const updateService = z.strictObject({
  status: z.enum(["enabled", "disabled"]).optional(),
  disabled_reason: reason.optional(),
  forced_down: boolean.optional(),
  /** Ours: whether the servers of the host, which takes no new ones, are moved to others. */
  drain: boolean.optional(),
});

/** The body of PUT /os-services/{id or action}. Which action it is for says what stands in it. */
export function serviceUpdate(
  minor: number,
): z.ZodType<{ change: z.infer<typeof updateService> } | { action: Record<string, unknown> }> {
  if (has(minor, "service.uuid")) return updateService.transform((change) => ({ change }));
  return z.record(z.string(), z.unknown()).transform((action) => ({ action }));
}

/** PUT /os-services/<action>, up to 2.52. */
export const SERVICE_ACTIONS = {
  enable: z.strictObject({ host, binary: name, disabled_reason: reason.optional() }),
  disable: z.strictObject({ host, binary: name, disabled_reason: reason.optional() }),
  "disable-log-reason": z.strictObject({ host, binary: name, disabled_reason: reason }),
  "force-down": z.strictObject({ host, binary: name, forced_down: boolean }),
} as const;

export const listHosts = z.object({ zone: last.optional() });

const turn = z
  .string()
  .trim()
  .toLowerCase()
  .pipe(z.enum(["enable", "disable"]));

/** PUT /os-hosts/{host}. */
export const updateHost = z
  .strictObject({ status: turn.optional(), maintenance_mode: turn.optional() })
  .refine((change) => Object.keys(change).length > 0, "It changes nothing.")
  .meta({ minProperties: 1 });
