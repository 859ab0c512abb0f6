/** The query of /os-simple-tenant-usage (nova/api/openstack/compute/schemas/simple_tenant_usage.py). */
import { z } from "zod";
import { last, whole } from "./list.ts";
import { versioned } from "./versioned.ts";

/** Nova's three ways to write a time: always in UTC, and with a blank only with a fraction. */
const TIME = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?| (\d\d:\d\d:\d\d)\.(\d{1,6}))$/;

/** ms since the epoch; null for a text that is no time. */
export function parseTime(text: string): number | null {
  const [, day, timeT, fractionT, timeBlank, fractionBlank] = TIME.exec(text) ?? [];
  if (day === undefined) return null;
  const fraction = (fractionT ?? fractionBlank ?? "0").padEnd(3, "0").slice(0, 3);
  const iso = `${day}T${timeT ?? timeBlank}.${fraction}Z`;
  const time = Date.parse(iso);
  // A day that the month has not would be taken for one of the next month's.
  return Number.isNaN(time) || new Date(time).toISOString() !== iso ? null : time;
}

/** An empty time is none. What the page is to be is looked at where there are pages. */
export const usagePeriod = versioned(
  {
    start: { schema: last },
    end: { schema: last },
    detailed: { schema: last },
    limit: { schema: z.unknown() },
    marker: { schema: z.unknown() },
  },
  "query.strict",
);

export const usagePage = z.object({ limit: whole.optional(), marker: last.optional() });
