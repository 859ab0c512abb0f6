/** Bodies and queries of server groups (nova/api/openstack/compute/schemas/server_groups.py). */
import { z } from "zod";
import { POLICIES, type Policy } from "../../project/groups.ts";
import { name, wholeNumber } from "./fields.ts";
import { last, truth, whole } from "./list.ts";

const SOFT_MINOR = 15;
/** From here on a group has one policy with rules. */
export const RULES_MINOR = 64;
const STRICT_MINOR = 75;

const HARD = ["anti-affinity", "affinity"] as const;

type CreateGroup = {
  name: string;
  policies?: [Policy];
  policy?: Policy;
  rules?: { max_server_per_host?: number };
};

export function createGroup(minor: number): z.ZodType<{ server_group: CreateGroup }> {
  const policy = z.enum(minor >= SOFT_MINOR ? POLICIES : HARD);
  const shape =
    minor >= RULES_MINOR
      ? { policy, rules: z.strictObject({ max_server_per_host: wholeNumber(1).optional() }).optional() }
      : { policies: z.array(policy).length(1) };
  return z.strictObject({ server_group: z.strictObject({ name, ...shape }) }) as unknown as z.ZodType<{
    server_group: CreateGroup;
  }>;
}

export function listGroups(minor: number) {
  const shape = {
    all_projects: last
      .transform((text) => text || "true")
      .pipe(truth)
      .optional(),
    limit: whole.optional(),
    offset: whole.optional(),
  };
  return minor >= STRICT_MINOR ? z.strictObject(shape) : z.object(shape);
}
