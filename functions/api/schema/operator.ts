/** Bodies and queries of what operators use: services, hypervisors (nova/api/openstack/compute/schemas/services.py, hypervisors.py). */
import { z } from "zod";
import { boolean, name } from "./fields.ts";
import { last, truth, whole } from "./list.ts";

/** nova: parameter_types.hostname. */
const host = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[a-zA-Z0-9-._]+$/, "It is not a host's name.");

const PAGING_MINOR = 33;
const PATTERN_MINOR = 53;
const STRICT_MINOR = 75;

/** Unknown parameters are ignored, and refused from 2.75 on. */
const shaped = <S extends z.ZodRawShape>(minor: number, shape: S) =>
  minor >= STRICT_MINOR ? z.strictObject(shape) : z.object(shape);

export const listServices = (minor: number) => shaped(minor, { host: last.optional(), binary: last.optional() });

const paging = { limit: whole.optional(), marker: last.optional() };
const ignored = { limit: z.unknown().transform(() => undefined), marker: z.unknown().transform(() => undefined) };
const none = z.unknown().transform(() => undefined);

/** `limit` and `marker` from 2.33 on, the others from 2.53 on; what is not known yet is ignored. */
export function listHypervisors(minor: number) {
  const withPattern = minor >= PATTERN_MINOR;
  return shaped(minor, {
    ...(minor >= PAGING_MINOR ? paging : { limit: ignored.limit.optional(), marker: ignored.marker.optional() }),
    hypervisor_hostname_pattern: (withPattern ? last.pipe(z.string().min(1)) : none).optional(),
    with_servers: (withPattern ? last.pipe(truth) : none).optional(),
  });
}

export const showHypervisor = (minor: number) =>
  shaped(minor, { with_servers: (minor >= PATTERN_MINOR ? last.pipe(truth) : none).optional() });

const reason = name;

/** PUT /os-services/{id}, from 2.53 on. */
export const updateService = z.strictObject({
  status: z.enum(["enabled", "disabled"]).optional(),
  disabled_reason: reason.optional(),
  forced_down: boolean.optional(),
});

/** PUT /os-services/<action>, up to 2.52. */
export const SERVICE_ACTIONS = {
  enable: z.strictObject({ host, binary: name, disabled_reason: reason.optional() }),
  disable: z.strictObject({ host, binary: name, disabled_reason: reason.optional() }),
  "disable-log-reason": z.strictObject({ host, binary: name, disabled_reason: reason }),
  "force-down": z.strictObject({ host, binary: name, forced_down: boolean }),
} as const;
