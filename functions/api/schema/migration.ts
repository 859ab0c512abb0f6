/** The query of GET /os-migrations (nova/api/openstack/compute/schemas/migrations.py). */
import { z } from "zod";
import { last, truth, whole } from "./list.ts";
import { versioned } from "./versioned.ts";

const time = z
  .string()
  .refine((text) => !Number.isNaN(Date.parse(text)), "It is not a time in ISO 8601.")
  .transform((text) => new Date(text).toISOString());

/** A parameter that may be there once. */
const single = <T>(schema: z.ZodType<T, string>) =>
  z
    .array(z.string().max(255))
    .length(1, "It may be given only once.")
    .transform((values) => values[0] ?? "")
    .pipe(schema);
const text = single(z.string());

/** Up to 2.58 what is unknown is ignored; from 2.59 on it is refused, and there are pages. */
export const listMigrations = versioned(
  {
    hidden: { schema: last.pipe(truth) },
    host: { schema: last },
    instance_uuid: { schema: last },
    source_compute: { schema: last },
    status: { schema: last },
    migration_type: { schema: last },
    limit: { schema: whole, on: "migration.paging" },
    marker: { schema: text, on: "migration.paging" },
    "changes-since": { schema: single(time), on: "migration.paging" },
    "changes-before": { schema: single(time), on: "migration.changes-before" },
    user_id: { schema: text, on: "migration.owner" },
    project_id: { schema: text, on: "migration.owner" },
  },
  "migration.paging",
);
export type MigrationQuery = z.infer<ReturnType<typeof listMigrations>>;
