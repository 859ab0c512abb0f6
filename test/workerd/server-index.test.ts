import { env, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { newRecord, type ServerRecord } from "../../functions/conductor/record.ts";
import { type ListQuery, merged, pageSql, SORT_KEYS, unpacked } from "../../functions/project/listing.ts";
import { specOf } from "./specs.ts";

const project = (name: string) => env.PROJECT.getByName(name);
const DAY_MS = 24 * 60 * 60 * 1000;

/** Many servers that are level in most keys, with and without values. */
async function filled(name: string, count: number): Promise<ServerRecord[]> {
  const records = Array.from({ length: count }, (_, i): ServerRecord => {
    const spec = specOf({ project_id: name, display_name: `n${i % 3}`, launch_index: i % 2 });
    const placed = i % 4 === 0 ? {} : { host: `h${i % 3}`, launched_at: new Date(i % 5).toISOString() };
    const created_at = new Date(Math.floor(i / 2)).toISOString();
    const locked_by = i % 3 === 0 ? ("owner" as const) : null;
    return {
      ...newRecord({ ...spec, created_at }),
      version: 2,
      vm_state: "active",
      task_state: null,
      ...placed,
      locked_by,
    };
  });
  for (const record of records) await project(name).index(record);
  return records;
}

async function listed(name: string, query: Partial<ListQuery>): Promise<ServerRecord[]> {
  const page = await project(name).list({ filters: [], sort: [], limit: 1000, ...query });
  return page.ok ? unpacked(page.value).servers : [];
}
const ids = (servers: readonly ServerRecord[]) => servers.map(({ uuid }) => uuid);

describe("a page", () => {
  const sorts = [
    ...Object.keys(SORT_KEYS).map((key) => [{ key, dir: "asc" }]),
    ...Object.keys(SORT_KEYS).map((key) => [{ key, dir: "desc" }]),
    [],
    [
      { key: "host", dir: "desc" },
      { key: "launched_at", dir: "asc" },
      { key: "display_name", dir: "desc" },
    ],
  ] as ListQuery["sort"][];

  it("begins after its marker, whatever the order, and no server is left out or comes twice", async () => {
    await filled("pages", 21);
    for (const sort of sorts) {
      const whole = await listed("pages", { sort });
      expect(whole).toHaveLength(21);
      const one: ListQuery = { filters: [], sort, limit: 100 };
      expect(ids(merged([{ servers: whole.toReversed(), full: false }], one).servers)).toEqual(ids(whole));
      const pages: string[] = [];
      for (
        let next: ServerRecord[] | null = null;
        (next === null || next.length === 4) && pages.length < 50;
        pages.push(...ids(next))
      ) {
        const marker = pages.at(-1);
        next = await listed("pages", { sort, limit: 4, ...(marker === undefined ? {} : { marker }) });
      }
      expect({ sort, pages }).toEqual({ sort, pages: ids(whole) });
    }
  });
  it("of those that pass the filters is as long as is asked, and says whether it is full", async () => {
    await filled("filtered", 21);
    const filters: ListQuery["filters"] = [{ name: "name", values: ["^n1$"] }];
    const sort: ListQuery["sort"] = [{ key: "created_at", dir: "desc" }];
    const all = await listed("filtered", { filters, sort });
    expect(all.map((one) => one.display_name)).toEqual(Array(7).fill("n1"));
    expect(ids(await listed("filtered", { filters, sort, limit: 3 }))).toEqual(ids(all.slice(0, 3)));
    const full = async (limit: number) => {
      const page = await project("filtered").list({ filters, sort, limit });
      return page.ok && page.value.full;
    };
    expect([await full(7), await full(8), await full(0)]).toEqual([true, false, false]);
  });
  it("of the newest is read from an index, and no further than it is long", async () => {
    await filled("plan", 30);
    await runInDurableObject(project("plan"), (_, { storage: { sql } }) => {
      const rows = sql.exec(
        `SELECT uuid, record FROM server ${pageSql([{ key: "created_at", dir: "desc" }], null).sql} LIMIT 5`,
      );
      expect(rows.toArray()).toHaveLength(5);
      expect(rows.rowsRead).toBeLessThan(15);
    });
  });
  it("after a server that is nobody's is refused", async () => {
    const page = await project("nobody").list({ filters: [], sort: [], limit: 1, marker: "x" });
    expect(page).toMatchObject({ ok: false, error: { message: "marker [x] not found" } });
  });
});

describe("a server that is gone", () => {
  it("is remembered for those who ask, and counts for nothing", async () => {
    const [alive, gone] = await filled("gone", 2);
    if (!alive || !gone) throw new Error("two were made");
    const terminated_at = new Date().toISOString();
    await project("gone").index({ ...gone, version: 3, vm_state: "deleted", terminated_at });
    expect(ids(await listed("gone", {}))).toEqual([alive.uuid]);
    expect(await listed("gone", { deleted: true })).toMatchObject([{ uuid: gone.uuid, terminated_at }]);
    expect(ids(await listed("gone", { deleted: "both" })).sort()).toEqual([alive.uuid, gone.uuid].sort());
    expect(await project("gone").usage()).toMatchObject({ instances: 1 });
    expect(await project("gone").find(gone.uuid)).toMatchObject({ vm_state: "deleted" });
    // It may be the last of a page that was read before it went.
    expect(ids(await listed("gone", { sort: [{ key: "created_at", dir: "asc" }], marker: gone.uuid }))).toEqual(
      alive.uuid > gone.uuid ? [alive.uuid] : [],
    );
  });
  it("is forgotten after a month", async () => {
    const records = await filled("month", 2);
    for (const record of records) {
      await project("month").index({ ...record, version: 3, vm_state: "deleted" });
      await runInDurableObject(project("month"), (_, { storage: { sql } }) => {
        sql.exec("UPDATE deleted SET at = ? WHERE uuid = ?", Date.now() - 31 * DAY_MS, records[0]?.uuid);
      });
    }
    expect(ids(await listed("month", { deleted: true }))).toEqual([records[1]?.uuid]);
  });
});
