/** Bodies and queries of server groups (nova/api/openstack/compute/schemas/server_groups.py). */
import { z } from "zod";
import { POLICIES } from "../../project/groups.ts";
import { has } from "../history.ts";
import { name, wholeNumber } from "./fields.ts";
import { last, truth, whole } from "./list.ts";
import { versioned } from "./versioned.ts";

const HARD = ["anti-affinity", "affinity"] as const;

const policy = (minor: number) => z.enum(has(minor, "group.soft-policies") ? POLICIES : HARD);
const group = versioned({
  name: { schema: name, required: true },
  policies: { schema: (minor: number) => z.array(policy(minor)).length(1), on: "group.policies", required: true },
  policy: { schema: policy, on: "group.rules", required: true },
  rules: { schema: z.strictObject({ max_server_per_host: wholeNumber(1).optional() }), on: "group.rules" },
});

export const createGroup = (minor: number) => z.strictObject({ server_group: group(minor) });
export type CreateGroup = z.infer<ReturnType<typeof group>>;

export const listGroups = versioned(
  {
    /** Bare `all_projects` means yes. */
    all_projects: { schema: last.transform((text) => text || "true").pipe(truth) },
    limit: { schema: whole },
    offset: { schema: whole },
  },
  "query.strict",
);
