/** A build that takes longer than INSTANCE_BUILD_TIMEOUT, whatever it waits for (nova: _check_instance_build_time). */
import { env } from "cloudflare:test";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Context } from "../../functions/conductor/context.ts";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { newRecord } from "../../functions/conductor/record.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

const SECONDS = 0.2;
let agent: ScriptedAgent;
let project: string;
let count = 0;

beforeEach(async () => {
  project = `late${count}`;
  agent = await new ScriptedAgent(`late${count++}`).link();
  const { build } = FLOWS;
  const expires = build?.expires;
  if (!build || !expires) throw new Error("no flow");
  vi.spyOn(build, "expires").mockImplementation((context) =>
    expires({ ...context, config: { ...context.config, INSTANCE_BUILD_TIMEOUT: SECONDS } }),
  );
});
afterEach(() => {
  vi.restoreAllMocks();
  agent.unlink();
});

const actor = () => ({ ...ADMIN, project_id: project });
const show = (uuid: string) => env.SERVER.getByName(uuid).show(actor());
const claimed = async () => (await env.HOST.getByName(agent.host).state())?.used.instances;

async function create(): Promise<string> {
  const spec = specOf({ project_id: project, requested_host: agent.host });
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await env.SERVER.getByName(spec.uuid).create(actor(), spec, reserved.value.until);
  return spec.uuid;
}
/** By its own alarm: the test rings none. */
const failed = (uuid: string) =>
  until(async () => {
    const record = await show(uuid);
    return record?.vm_state === "error" && record.task_state === null && record;
  }, "it has failed");
const LATE = { host: null, fault: { code: 500, message: "Instance build timed out. Set to error state." } };
const holdsSpawn = () => {
  const obey = agent.answer;
  agent.answer = (call) => (call.method === "spawn" ? null : obey(call));
  return () => {
    agent.answer = obey;
  };
};

it("on a host that works on it is in ERROR; its guest goes, and its claim with it", async () => {
  holdsSpawn();
  const uuid = await create();
  expect(await failed(uuid)).toMatchObject(LATE);
  const calls = agent.calls.map(({ method }) => method);
  expect(calls).toEqual(["spawn", "destroy"]);
  await until(async () => (await claimed()) === 0, "the claim is free");
  const { events } = (await env.SERVER.getByName(uuid).action(actor(), ADMIN.request_id)) ?? {};
  expect(events?.at(-1)).toMatchObject({ result: "Error", host: agent.host, details: LATE.fault.message });
  // The guest that came to be all the same is nobody's: what is said of it changes nothing.
  const [spawn] = agent.calls;
  agent.send({ t: "result", call: spawn?.id ?? "", outcome: { ok: true, value: { power_state: 1 } } });
  await until(() => agent.acks.includes(spawn?.id ?? ""), "the answer came");
  expect(await show(uuid)).toMatchObject({ vm_state: "error", ...LATE });
});

it("on a host that is away is in ERROR; its guest goes when the host is back", async () => {
  const answers = holdsSpawn();
  const uuid = await create();
  await until(() => agent.calls.length === 1, "the spawn is asked for");
  agent.unlink();
  expect(await failed(uuid)).toMatchObject(LATE);
  expect(await claimed()).toBe(1);
  answers();
  await agent.link();
  await until(async () => (await claimed()) === 0, "the claim is free");
});

it("while a host is looked for is in ERROR, and a late choice changes nothing", async () => {
  const step = FLOWS.build?.steps[0];
  if (!step) throw new Error("no step");
  const { run } = step;
  let released = false;
  vi.spyOn(step, "run").mockImplementation(async (context, memo) => {
    await until(() => released, "the test lets the step go");
    return run(context, memo);
  });
  const uuid = await create();
  expect(await failed(uuid)).toMatchObject(LATE);
  released = true;
  expect(await show(uuid)).toMatchObject({ vm_state: "error", ...LATE });
  expect(await claimed()).toBe(0);
});

it.each([
  ["active", 60, null],
  ["building", 0, null],
  ["building", 60, 61_000],
] as const)("of a server that is %s, with %i s: it ends at %s", (vm_state, INSTANCE_BUILD_TIMEOUT, at) => {
  vi.restoreAllMocks();
  const record = () => ({ ...newRecord(specOf()), vm_state });
  const context = { config: { INSTANCE_BUILD_TIMEOUT }, startedAt: 1000, record } as unknown as Context;
  expect(FLOWS.build?.expires?.(context)?.at ?? null).toBe(at);
});
