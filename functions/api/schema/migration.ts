/** The query of GET /os-migrations (nova/api/openstack/compute/schemas/migrations.py). */
import { z } from "zod";
import { has } from "../history.ts";
import { last, truth, whole } from "./list.ts";

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
    .pipe(schema)
    .optional();
const text = single(z.string());

const filters = {
  hidden: last.pipe(truth).optional(),
  host: last.optional(),
  instance_uuid: last.optional(),
  source_compute: last.optional(),
  status: last.optional(),
  migration_type: last.optional(),
};

export type MigrationQuery = {
  hidden?: boolean;
  host?: string;
  instance_uuid?: string;
  source_compute?: string;
  status?: string;
  migration_type?: string;
  limit?: number;
  marker?: string;
  "changes-since"?: string;
  "changes-before"?: string;
  user_id?: string;
  project_id?: string;
};

/** Up to 2.58 what is unknown is ignored; from 2.59 on it is refused, and there are pages. */
export function listMigrations(minor: number): z.ZodType<MigrationQuery> {
  if (!has(minor, "migration.paging")) return z.object(filters) as unknown as z.ZodType<MigrationQuery>;
  return z.strictObject({
    ...filters,
    limit: whole.optional(),
    marker: text,
    "changes-since": single(time),
    ...(has(minor, "migration.changes-before") ? { "changes-before": single(time) } : {}),
    ...(has(minor, "migration.owner") ? { user_id: text, project_id: text } : {}),
  }) as unknown as z.ZodType<MigrationQuery>;
}
