/** What quotas' schemas become with microversions that are not advertised yet (nova: schemas/quota_sets.py). */
import { describe, expect, it } from "vitest";
import {
  limitsQuery,
  quotaQuery,
  shownResources,
  updateQuotaClass,
  updateQuotaSet,
} from "../../functions/api/schema/quota.ts";
import { parseTime, usagePeriod } from "../../functions/api/schema/tenant-usage.ts";

describe("a query", () => {
  it.each([
    ["of quota sets", quotaQuery, { user_id: ["u"] }],
    ["of limits", limitsQuery, { tenant_id: ["p"], reserved: ["1"] }],
    ["of usage", usagePeriod, { start: [""], end: [""], detailed: ["1"], limit: ["1"], marker: ["m"] }],
  ])("%s refuses an unknown parameter from 2.75 on", (_, schema, known) => {
    for (const [minor, passes] of [
      [74, true],
      [75, false],
      [96, false],
    ] as const) {
      expect(schema(minor).safeParse({}).success).toBe(true);
      expect(schema(minor).safeParse(known).success).toBe(true);
      expect(schema(minor).safeParse({ ...known, unknown: ["1"] }).success).toBe(passes);
    }
  });
});

it("sets and classes stay as 2.57 made them", () => {
  const names = ["instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members"];
  for (const kind of ["set", "class"] as const) expect(shownResources(kind, 96)).toEqual(names);
  const limits = Object.fromEntries(names.map((name) => [name, "1"]));
  expect(updateQuotaSet(96).safeParse({ quota_set: { ...limits, force: "no" } }).success).toBe(true);
  expect(updateQuotaClass(96).safeParse({ quota_class_set: { ...limits, force: "no" } }).success).toBe(false);
});

it.each([
  ["2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"],
  ["2026-01-02T03:04:05.5", "2026-01-02T03:04:05.500Z"],
  ["2026-01-02T03:04:05.123456", "2026-01-02T03:04:05.123Z"],
  ["2026-01-02 03:04:05.123456", "2026-01-02T03:04:05.123Z"],
  ["2024-02-29T00:00:00", "2024-02-29T00:00:00.000Z"],
  ["2026-02-29T00:00:00", null],
  ["2026-01-02 03:04:05", null],
  ["2026-01-02", null],
  ["2026-01-02T03:04:05Z", null],
  ["2026-01-02T24:00:00", null],
])("reads the time %s as %s", (text, iso) => {
  expect(parseTime(text)).toBe(iso === null ? null : Date.parse(iso));
});
