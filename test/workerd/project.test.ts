import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { newRecord } from "../../functions/conductor/record.ts";
import { unpacked } from "../../functions/project/listing.ts";
import { quotaMessage } from "../../functions/project/quota.ts";
import { ADMIN, specOf } from "./specs.ts";

const project = (name: string) => env.PROJECT.getByName(name);

it("reserves no more than the quota, however many ask at once", async () => {
  const name = "parallel";
  const asked = Array.from({ length: 40 }, () => project(name).reserve([specOf({ project_id: name })], 1));
  const answers = await Promise.all(asked);
  expect(answers.filter((answer) => answer.ok)).toHaveLength(10);
  expect(await project(name).usage()).toEqual({ instances: 10, cores: 10, ram: 10_240 });
  const refused = answers.find((answer) => !answer.ok);
  expect(refused?.ok === false && refused.error.kind === "over_quota" && quotaMessage(refused.error)).toBe(
    "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances",
  );
});

it("reserves as many as fit, down to the least", async () => {
  const specs = Array.from({ length: 12 }, () => specOf({ project_id: "many" }));
  expect(await project("many").reserve(specs, 11)).toMatchObject({ ok: false });
  expect(await project("many").reserve(specs, 3)).toMatchObject({ ok: true, value: { count: 10 } });
});

it("gives back a reservation whose server never came, and keeps one whose server did", async () => {
  const name = "expiry";
  const [never, came] = [specOf({ project_id: name }), specOf({ project_id: name })];
  const reserved = await project(name).reserve([never, came], 2);
  await env.SERVER.getByName(came.uuid).create(ADMIN, came, Date.now() + 1000);
  await runInDurableObject(project(name), (_, state) => {
    state.storage.sql.exec("UPDATE server SET reserved_until = 1 WHERE reserved_until IS NOT NULL");
  });
  expect(await runDurableObjectAlarm(project(name))).toBe(true);
  expect(await project(name).usage()).toMatchObject({ instances: 1 });
  // The create that was on its way when its reservation went is refused: it would be counted nowhere.
  expect(reserved.ok && reserved.value.until).toBeLessThan(Date.now() + 120_000);
  expect(await env.SERVER.getByName(never.uuid).create(ADMIN, never, Date.now() - 1)).toMatchObject({ ok: false });
});

it("drops a word that is older than what it has, and every word after the last", async () => {
  const name = "words";
  const record = newRecord(specOf({ project_id: name }));
  const listed = async () => {
    const page = await project(name).list({ filters: [], sort: [], limit: 10 });
    return page.ok ? unpacked(page.value).servers.map((one) => one.task_state) : [];
  };
  await project(name).index({ ...record, version: 3, task_state: null, vm_state: "active" });
  await project(name).index({ ...record, version: 2, task_state: "spawning" });
  expect(await listed()).toEqual([null]);
  await project(name).index({ ...record, version: 4, vm_state: "deleted" });
  await project(name).index({ ...record, version: 3, vm_state: "active" });
  expect(await listed()).toEqual([]);
  expect(await project(name).usage()).toEqual({ instances: 0, cores: 0, ram: 0 });
});
