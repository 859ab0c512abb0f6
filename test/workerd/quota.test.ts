/** Whose limits hold, and that usage is the sum of the servers whatever happens in whatever order. */
import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import fc from "fast-check";
import { expect, it } from "vitest";
import { newRecord, type ServerRecord } from "../../functions/conductor/record.ts";
import { Project } from "../../functions/project/project.ts";
import { quotaMessage, refusalMessage } from "../../functions/project/quota.ts";
import { specOf } from "./specs.ts";

const project = (name: string) => env.PROJECT.getByName(name);
const specs = (count: number, user_id = "u", project_id = "p") =>
  Array.from({ length: count }, () => specOf({ project_id, user_id }));

it("looks limits up at the user, the project, the class default and the options, in that order", async () => {
  const name = "lookup";
  const instances = async (user: string | null) => (await project(name).quota(user)).limits.instances;
  const defaults = env.QUOTA_CLASS.getByName("default");
  expect(await instances("u")).toBe(10);
  await defaults.change({ instances: 20, cores: 21 });
  expect(await instances("u")).toBe(20);
  await project(name).setQuota(null, { instances: 30 }, false);
  expect(await instances("u")).toBe(30);
  await project(name).setQuota("u", { instances: 5 }, false);
  expect([await instances("u"), await instances("v"), await instances(null)]).toEqual([5, 30, 30]);
  await project(name).dropQuota("u");
  expect(await instances("u")).toBe(30);
  await project(name).dropQuota(null);
  expect((await project(name).quota(null)).limits).toMatchObject({ instances: 20, cores: 21, ram: 51_200 });
  // Only `default` has effect, and one that was never written has nothing.
  await env.QUOTA_CLASS.getByName("gold").change({ instances: 99 });
  expect(await instances(null)).toBe(20);
  expect(await env.QUOTA_CLASS.getByName("silver").limits()).toEqual({});
  await defaults.change({ instances: 10, cores: 20 });
});

it("tells a project of a change of the class until it has heard, and never an older one last", async () => {
  const name = "deaf";
  const defaults = env.QUOTA_CLASS.getByName("default");
  await project(name).quota(null);
  // The word is lost: as if the project had been unreachable while the class changed.
  const before = await runInDurableObject(defaults, (_, state) => {
    state.storage.sql.exec("INSERT OR REPLACE INTO quota VALUES ('ram', 7)");
    const version = (state.storage.kv.get<number>("version") ?? 0) + 1;
    state.storage.kv.put("version", version);
    void state.storage.setAlarm(Date.now() + 60_000);
    return version;
  });
  expect((await project(name).quota(null)).limits.ram).toBe(51_200);
  expect(await runDurableObjectAlarm(defaults)).toBe(true);
  expect((await project(name).quota(null)).limits.ram).toBe(7);
  expect(await runDurableObjectAlarm(defaults)).toBe(false);
  await project(name).takeClass({ version: before - 1, limits: { ram: 8 } });
  expect((await project(name).quota(null)).limits.ram).toBe(7);
  await defaults.change({ ram: 51_200 });
});

it("holds a create against the user's limit as well as the project's, and tells whose is exceeded", async () => {
  const name = "users";
  await project(name).setQuota("u", { instances: 3 }, false);
  const answers = await Promise.all(Array.from({ length: 20 }, () => project(name).reserve(specs(1, "u"), 1)));
  expect(answers.filter(({ ok }) => ok)).toHaveLength(3);
  const refused = answers.find(({ ok }) => !ok);
  expect(refused && !refused.ok && refused.error.kind === "over_quota" && quotaMessage(refused.error)).toBe(
    "Quota exceeded for instances: Requested 1, but already used 3 of 3 instances",
  );
  expect(await project(name).reserve(specs(9, "v"), 2)).toMatchObject({ ok: true, value: { count: 7 } });
  expect(await project(name).reserve(specs(1, "v"), 1)).toMatchObject({ ok: false });
  expect(await project(name).quota("u")).toMatchObject({
    in_use: { instances: 0 },
    reserved: { instances: 3, cores: 3, ram: 3072 },
  });
});

it("reduces max_count to what the user may still have, and refuses below min_count", async () => {
  const name = "reduce";
  await project(name).setQuota("u", { cores: 4 }, false);
  expect(await project(name).reserve(specs(6, "u"), 5)).toMatchObject({
    ok: false,
    error: { over: [{ resource: "cores", requested: 5, used: 0, limit: 4 }] },
  });
  expect(await project(name).reserve(specs(6, "u"), 2)).toMatchObject({ ok: true, value: { count: 4 } });
});

it("sets no limit below what is used or promised, or above the project's for a user, unless forced", async () => {
  const name = "settable";
  const said = async (user: string | null, limits: object, force = false) => {
    const set = await project(name).setQuota(user, limits, force);
    return set.ok ? null : refusalMessage(set.error);
  };
  await project(name).reserve(specs(4, "u"), 4);
  expect(await said(null, { instances: 3 })).toBe(
    "Quota limit 3 for instances must be greater than or equal to already used and reserved 4.",
  );
  expect(await said("u", { instances: 3 })).toContain("already used and reserved 4.");
  expect(await said("v", { instances: 11 })).toBe("Quota limit 11 for instances must be less than or equal to 10.");
  expect(await said("v", { instances: -1 })).toContain("must be less than or equal to 10.");
  expect(await said("v", { instances: 7 })).toBeNull();
  expect(await said("w", { instances: 4 })).toContain("less than or equal to 3.");
  expect(await said("v", { instances: 8 })).toBeNull();
  expect(await said(null, { instances: 6 })).toContain("already used and reserved 8.");
  expect(await said(null, { instances: -1 })).toBeNull();
  expect(await said("v", { instances: -1 })).toBeNull();
  expect(await said(null, { instances: 1 }, true)).toBeNull();
  expect(await project(name).reserve(specs(1, "u"), 1)).toMatchObject({ ok: false });
});

type Step = { do: "reserve" | "build" | "fail" | "delete" | "late" | "expire"; at: number; user: number };

it("counts exactly the servers there are, whatever is reserved, built, deleted and told late", async () => {
  let run = 0;
  const step: fc.Arbitrary<Step> = fc.record({
    do: fc.constantFrom("reserve", "reserve", "build", "fail", "delete", "late", "expire"),
    at: fc.nat(30),
    user: fc.nat(2),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const name = `property-${run++}`;
      const live = new Map<string, ServerRecord>();
      const dead: ServerRecord[] = [];
      const pick = (at: number) => [...live.values()][at % Math.max(1, live.size)];
      const tell = async (record: ServerRecord | undefined, change: Partial<ServerRecord>) => {
        if (record === undefined) return;
        const next = { ...record, ...change, version: record.version + 1 };
        await project(name).index(next);
        if (next.vm_state === "deleted") dead.push(record);
        if (next.vm_state === "deleted") live.delete(record.uuid);
        else live.set(record.uuid, next);
      };
      for (const { do: what, at, user } of steps) {
        if (what === "reserve") {
          const wanted = specs((at % 4) + 1, `user-${user}`, name);
          const reserved = await project(name).reserve(wanted, 1);
          const count = reserved.ok ? reserved.value.count : 0;
          expect(count).toBe(Math.min(wanted.length, 10 - live.size));
          for (const spec of wanted.slice(0, count)) live.set(spec.uuid, newRecord(spec));
        } else if (what === "build") await tell(pick(at), { vm_state: "active", task_state: null });
        else if (what === "fail") await tell(pick(at), { vm_state: "error", task_state: null });
        else if (what === "delete") await tell(pick(at), { vm_state: "deleted" });
        else if (what === "late") {
          const ghost = dead[at % Math.max(1, dead.length)];
          if (ghost) await project(name).index(ghost);
        } else {
          // None of these servers was ever created as an object: what still stands on its reservation goes.
          await runInDurableObject(project(name), (_, state) => {
            state.storage.sql.exec("UPDATE server SET reserved_until = 1 WHERE reserved_until IS NOT NULL");
          });
          await runDurableObjectAlarm(project(name));
          for (const one of live.values()) if (one.vm_state === "building") live.delete(one.uuid);
        }
        const count = live.size;
        expect(await project(name).usage()).toEqual({ instances: count, cores: count, ram: count * 1024 });
      }
      for (const user of ["user-0", "user-1", "user-2"]) {
        const { in_use, reserved } = await project(name).quota(user);
        const mine = [...live.values()].filter((one) => one.user_id === user);
        const building = mine.filter((one) => one.vm_state === "building").length;
        expect([in_use.instances, reserved.instances]).toEqual([mine.length - building, building]);
      }
    }),
    { numRuns: 25 },
  );
});

it("remembers what a deleted server took, once, and forgets it after its time", async () => {
  const name = "usage";
  const record = newRecord(specOf({ project_id: name }));
  const launched_at = "2026-01-01T00:00:00.000Z";
  const deleted = { ...record, vm_state: "deleted" as const, launched_at, version: 9 };
  const used = () => project(name).serverUsage("2026-01-01T12:00:00.000Z", "2099-01-01T00:00:00.000Z");
  await project(name).index({ ...record, version: 2, vm_state: "active", launched_at });
  expect(await used()).toMatchObject([{ uuid: record.uuid, state: "active", disk: 10, terminated_at: null }]);
  for (let i = 0; i < 2; i++) await project(name).index({ ...deleted, terminated_at: "2026-01-02T00:00:00.000Z" });
  expect(await used()).toMatchObject([{ uuid: record.uuid, state: "terminated", flavor: "f", vcpus: 1, ram: 1024 }]);
  // A server that never ran took nothing.
  const never = newRecord(specOf({ project_id: name }));
  await project(name).index({ ...never, vm_state: "deleted", version: 2 });
  expect(await used()).toHaveLength(1);
  await runInDurableObject(project(name), (_, state) => {
    state.storage.sql.exec("UPDATE usage SET terminated_at = '2020-01-01T00:00:00.000Z'");
  });
  await project(name).index({ ...never, vm_state: "deleted", version: 3 });
  await runInDurableObject(project(name), (_, state) => {
    expect(state.storage.sql.exec("SELECT * FROM usage").toArray()).toEqual([]);
  });
});

it("brings the servers of a project from before there were users' quotas along", async () => {
  const name = "before";
  const record = newRecord(specOf({ project_id: name, user_id: "old" }));
  await runInDurableObject(project(name), (_, state) => {
    const { sql, kv } = state.storage;
    const tables = sql.exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'",
    );
    for (const { name: table } of tables.toArray()) sql.exec(`DROP TABLE ${table}`);
    sql.exec(
      `CREATE TABLE server (
         uuid TEXT PRIMARY KEY, version INTEGER NOT NULL, vcpus INTEGER NOT NULL, ram INTEGER NOT NULL,
         record TEXT NOT NULL, reserved_until INTEGER
       ) WITHOUT ROWID;
       CREATE INDEX server_reserved ON server (reserved_until) WHERE reserved_until IS NOT NULL;
       CREATE TABLE deleted (uuid TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;`,
    );
    kv.put("schema", 1);
    sql.exec("INSERT INTO server VALUES (?, 1, 1, 1024, ?, NULL)", record.uuid, JSON.stringify(record));
    new Project(state, env);
  });
  expect((await project(name).quota("old")).in_use).toMatchObject({ instances: 1, cores: 1, ram: 1024 });
});
