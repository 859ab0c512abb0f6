import { describe, expect, it } from "vitest";
import { FILTERS, listServers, usable } from "../../functions/api/schema/server-list.ts";
import { newRecord, type ServerRecord } from "../../functions/conductor/record.ts";
import { passes } from "../../functions/project/filters.ts";
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
  ["key_name", ["."], false],
  ["instance_name", ["^instance-"], true],
  ["locked_by", ["owner"], true],
] as const)("%s=%j: %s", (name, list, through) => {
  const values = [...list];
  expect(FILTERS[name].schema.safeParse(values).success).toBe(true);
  expect(passes(record, [{ name, values }])).toBe(through);
});

describe("who may use which", () => {
  const GOOD: Record<string, string> = { locked: "1", config_drive: "1" };
  const allowed = (minor: number, isAdmin: boolean) => {
    const names = Object.keys(FILTERS).filter((name) => minor < 75 || name !== "instance_name");
    const query = Object.fromEntries(names.map((name) => [name, [GOOD[name] ?? "2026-01-01"]]));
    return usable(listServers(minor).parse(query), minor, isAdmin).map(({ name }) => name);
  };
  it("an admin all of them that there are at that microversion", () => {
    expect(allowed(96, true)).toEqual(Object.keys(FILTERS).filter((name) => name !== "instance_name"));
    expect(allowed(74, true)).toContain("instance_name");
    for (const [name, since] of [
      ["ip6", 5],
      ["tags", 26],
      ["changes-before", 66],
      ["locked", 73],
    ] as const) {
      expect(allowed(since - 1, true)).not.toContain(name);
      expect(allowed(since, true)).toContain(name);
    }
  });
  it("others few, and more from 2.83 on; the rest is dropped unsaid", () => {
    expect(allowed(61, false)).toEqual([
      ...["name", "status", "image", "flavor", "reservation_id", "ip", "ip6", "changes-since"],
      ...["tags", "tags-any", "not-tags", "not-tags-any"],
    ]);
    expect(allowed(83, false)).toEqual(expect.arrayContaining(["vm_state", "user_id", "locked", "availability_zone"]));
    expect(allowed(82, false)).not.toContain("vm_state");
    expect(allowed(89, false)).not.toContain("hostname");
    expect(allowed(90, false)).toContain("hostname");
    for (const name of ["host", "node", "uuid"]) expect(allowed(96, false)).not.toContain(name);
  });
  it("nobody a name that no filter has: it is dropped up to 2.74, and refused from 2.75 on", () => {
    const query = JSON.parse('{ "constructor": ["x"], "__proto__": ["x"], "limit": ["1"] }');
    expect(usable(listServers(74).parse(query), 74, true)).toEqual([]);
    expect(listServers(75).safeParse({ nonsense: ["x"] }).success).toBe(false);
  });
});
