/** Bodies and queries of server groups (nova/api/openstack/compute/schemas/server_groups.py). */
import { z } from "zod";
import { POLICIES, type Policy } from "../../project/groups.ts";
import { has } from "../history.ts";
import { name, wholeNumber } from "./fields.ts";
import { last, truth, whole } from "./list.ts";
import { parameters } from "./query.ts";

const HARD = ["anti-affinity", "affinity"] as const;

export type CreateGroup = {
  name: string;
  policies?: [Policy];
  policy?: Policy;
  rules?: { max_server_per_host?: number };
};

export function createGroup(minor: number): z.ZodType<{ server_group: CreateGroup }> {
  const policy = z.enum(has(minor, "group.soft-policies") ? POLICIES : HARD);
  const shape = has(minor, "group.rules")
    ? { policy, rules: z.strictObject({ max_server_per_host: wholeNumber(1).optional() }).optional() }
    : { policies: z.array(policy).length(1) };
  return z.strictObject({ server_group: z.strictObject({ name, ...shape }) }) as unknown as z.ZodType<{
    server_group: CreateGroup;
  }>;
}

export const listGroups = (minor: number) =>
  parameters(minor, {
    all_projects: last
      .transform((text) => text || "true")
      .pipe(truth)
      .optional(),
    limit: whole.optional(),
    offset: whole.optional(),
  });
