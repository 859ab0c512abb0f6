import { env, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { moveOf } from "../moves.ts";

const project = (name: string) => env.PROJECT.getByName(name);

const recent = (seconds: number) => new Date(Date.now() - 60_000 + seconds * 1000).toISOString();

it("keeps a move under one number, by the last word on it however often that is said", async () => {
  const there = project("moves");
  const first = moveOf({ created_at: recent(0) });
  const done = { ...first, status: "completed", updated_at: recent(2) };
  await there.saveMigration(first);
  const [{ id } = { id: 0 }] = await there.migrations({});
  await there.saveMigration(done);
  await there.saveMigration(done);
  await there.saveMigration({ ...first, status: "running", updated_at: recent(1) });
  expect(await there.migrations({})).toEqual([{ id, ...done }]);
  expect(id).toBeLessThan(2 ** 31);
});

it("gives two moves two numbers, also where their uuids begin alike", async () => {
  const there = project("alike");
  const uuids = ["ffffffff-0000-4000-8000-000000000001", "ffffffff-0000-4000-8000-000000000002"];
  for (const uuid of uuids) await there.saveMigration(moveOf({ uuid, created_at: recent(0) }));
  expect(new Set((await there.migrations({})).map(({ id }) => id)).size).toBe(2);
});

it("finds moves by each filter, newest first", async () => {
  const there = project("filters");
  const a = moveOf({ created_at: recent(0), status: "error", migration_type: "resize" });
  const b = moveOf({ created_at: recent(1), updated_at: recent(9), source_compute: "two", dest_compute: "three" });
  const c = moveOf({ created_at: recent(2), hidden: true, user_id: "v" });
  for (const one of [b, a, c]) await there.saveMigration(one);
  const found = async (filter: Parameters<typeof there.migrations>[0]) =>
    (await there.migrations(filter)).map(({ uuid }) => uuid);
  expect(await found({})).toEqual([c.uuid, b.uuid, a.uuid]);
  expect(await found({ hidden: false })).toEqual([b.uuid, a.uuid]);
  expect(await found({ hidden: true })).toEqual([c.uuid]);
  expect(await found({ status: "error" })).toEqual([a.uuid]);
  expect(await found({ migration_type: "resize" })).toEqual([a.uuid]);
  expect(await found({ instance_uuid: b.instance_uuid })).toEqual([b.uuid]);
  expect(await found({ uuid: a.uuid })).toEqual([a.uuid]);
  expect(await found({ source_compute: "two" })).toEqual([b.uuid]);
  expect(await found({ host: "two" })).toEqual([c.uuid, b.uuid, a.uuid]);
  expect(await found({ host: "three" })).toEqual([b.uuid]);
  expect(await found({ user_id: "v" })).toEqual([c.uuid]);
  expect(await found({ "changes-since": recent(5) })).toEqual([b.uuid]);
  expect(await found({ "changes-before": recent(1) })).toEqual([a.uuid]);
});

it("forgets a move 400 days after its last change", async () => {
  const there = project("old");
  const old = moveOf({ created_at: "2020-01-01T00:00:00.000Z" });
  await there.saveMigration(old);
  await there.saveMigration(moveOf({ created_at: recent(0) }));
  expect(await there.migrations({ uuid: old.uuid })).toEqual([]);
  await runInDurableObject(there, (_, state) => {
    expect(state.storage.sql.exec("SELECT 1 FROM migration").toArray()).toHaveLength(1);
  });
});
