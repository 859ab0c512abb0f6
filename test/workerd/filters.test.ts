import { describe, expect, it } from "vitest";
import { newRecord, type ServerRecord } from "../../functions/conductor/record.ts";
import { allowed, FILTERS, passes, wrongValue } from "../../functions/project/filters.ts";
import { specOf } from "./specs.ts";

const record: ServerRecord = {
  ...newRecord(specOf({ display_name: "web-1", hostname: "web-1", tags: ["a", "b"] })),
  vm_state: "active",
  task_state: null,
  power_state: 1,
  host: "h1",
  locked_by: "owner",
  updated_at: "2026-05-05T00:00:00.000Z",
};

it.each([
  ["name", ["web"], true],
  ["name", ["^web-\\d$"], true],
  ["name", ["db"], false],
  ["status", ["active"], true],
  ["status", ["ERROR", "ACTIVE"], true],
  ["status", ["ERROR"], false],
  ["tags", ["a,b"], true],
  ["tags", ["a,c"], false],
  ["tags-any", ["c,b"], true],
  ["tags-any", ["c"], false],
  ["not-tags", ["a,c"], true],
  ["not-tags", ["a,b"], false],
  ["not-tags-any", ["c,d"], true],
  ["not-tags-any", ["c,b"], false],
  ["changes-since", ["2026-05-05T00:00:00Z"], true],
  ["changes-since", ["2026-05-05T00:00:01Z"], false],
  ["changes-before", ["2026-05-05T00:00:00Z"], true],
  ["changes-before", ["2026-05-04"], false],
  ["locked", ["true"], true],
  ["locked", ["False"], false],
  ["power_state", ["1"], true],
  ["power_state", ["4"], false],
  ["task_state", [""], true],
  ["host", ["h1"], true],
  ["ip", ["."], false],
  ["config_drive", ["false"], true],
  ["flavor", ["http://x/flavors/1"], true],
])("%s=%j: %s", (name, values, through) => {
  expect(wrongValue([{ name, values }])).toBeNull();
  expect(passes(record, [{ name, values }])).toBe(through);
});

describe("who may use which", () => {
  const usable = (minor: number, isAdmin: boolean) => {
    const query = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ["x"]]));
    return allowed(query, minor, isAdmin).map(({ name }) => name);
  };
  it("an admin all of them, as they came", () => {
    expect(usable(96, true)).toEqual(Object.keys(FILTERS));
    expect(usable(1, true)).not.toContain("tags");
  });
  it("others few, and more from 2.83 on; the rest is dropped unsaid", () => {
    expect(usable(61, false)).toEqual([
      ...["name", "status", "image", "flavor", "reservation_id", "ip", "ip6", "changes-since"],
      ...["tags", "tags-any", "not-tags", "not-tags-any"],
    ]);
    expect(usable(83, false)).toEqual(expect.arrayContaining(["vm_state", "user_id", "locked", "availability_zone"]));
    for (const name of ["host", "node", "uuid"]) expect(usable(96, false)).not.toContain(name);
  });
  it("nobody a name that no filter has", () => {
    expect(allowed({ constructor: ["x"], __proto__: ["x"], limit: ["1"] }, 96, true)).toEqual([]);
  });
});
