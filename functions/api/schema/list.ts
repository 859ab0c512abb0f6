/** The queries of lists (nova/api/validation/parameter_types.py pagination_parameters). */
import { z } from "zod";
import { truth as truthOf } from "./fields.ts";
import { versioned } from "./versioned.ts";

/** A repeated parameter comes as a list; where one value is meant, the last is taken. */
export const last = z.array(z.string().max(255)).transform((values) => values.at(-1) ?? "");

const digits = z
  .string()
  .regex(/^[0-9]{1,10}$/, "It is not a whole number.")
  .transform(Number);

export const whole = last.pipe(digits);

/** As in a body, but a query has only strings. */
export const truth = z.string().transform(truthOf);

/** A parameter that must not be repeated. */
const once = z
  .array(z.string().max(255))
  .max(1, "It is given more than once.")
  .transform(([value = ""]) => value);

const time = once
  .refine((text) => !Number.isNaN(Date.parse(text)), "It is not a time in ISO 8601.")
  .transform((text) => new Date(text).toISOString());

/** The query of GET /servers/{id}/os-instance-actions: before there were pages, it is not looked at. */
export const listActions = versioned(
  {
    limit: { schema: once.pipe(digits), on: "action.paging" },
    marker: { schema: once, on: "action.paging" },
    "changes-since": { schema: time, on: "action.paging" },
    "changes-before": { schema: time, on: "action.changes-before" },
  },
  "action.paging",
);
export type ListActions = z.infer<ReturnType<typeof listActions>>;
