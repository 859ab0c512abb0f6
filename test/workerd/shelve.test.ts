/** Shelving through real objects: where it ends, what it frees, and failure injected at every step, every step twice. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { takesSnapshots } from "./snapshot-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

const images = env.IMAGES.getByName("default");
let agent: ScriptedAgent;
let project: string;
let uuid: string;
let count = 0;

const actor = () => ({ ...ADMIN, project_id: project, request_id: `req-${crypto.randomUUID()}` });
const server = () => env.SERVER.getByName(uuid);
const show = () => server().show(actor());
const claimed = async () => (await env.HOST.getByName(agent.host).state())?.used.instances;
const mine = async () => (await images.list()).filter(({ owner }) => owner === project);

beforeEach(async () => {
  project = `shelf${count}`;
  agent = takesSnapshots(await new ScriptedAgent(`shelf${count++}`).link());
  const spec = specOf({ project_id: project, requested_host: agent.host });
  uuid = spec.uuid;
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server().create(actor(), spec, reserved.value.until);
  await rested();
});
afterEach(() => {
  vi.restoreAllMocks();
  agent.unlink();
});

const rested = async () => {
  await until(async () => (await show())?.task_state === null, "the server rests");
  const record = await show();
  if (record === null) throw new Error("no server");
  return record;
};
async function act(action: "shelve" | "unshelve" | "stop") {
  // It is to come back to the one host that is up.
  const change = action === "unshelve" ? { requested_host: agent.host } : {};
  expect(await server().act(actor(), action, { change })).toMatchObject({ ok: true });
  return rested();
}

it("leaves the host, and comes back from its image with the flavor and the image that it was made of", async () => {
  const before = await show();
  expect(await act("shelve")).toMatchObject({ vm_state: "shelved_offloaded", host: null, power_state: 0, fault: null });
  expect(agent.calls.map(({ method }) => method)).toEqual([
    "spawn",
    "power_off",
    "snapshot",
    "upload_snapshot",
    "destroy",
  ]);
  expect(await claimed()).toBe(0);
  expect((await env.PROJECT.getByName(project).usage()).instances).toBe(1);
  const [image] = await mine();
  expect(image).toMatchObject({ name: "a-shelved", status: "active" });
  agent.calls.length = 0;
  const back = await act("unshelve");
  expect(back).toMatchObject({ vm_state: "active", host: agent.host, power_state: 1, shelved: null });
  expect(back.image).toEqual(before?.image);
  expect(agent.calls).toMatchObject([{ method: "spawn", params: { image: { id: image?.id, disk_format: "qcow2" } } }]);
  expect(await mine()).toEqual([]);
  expect(await claimed()).toBe(1);
});

it("stays where it is when no host takes it, and says so in its action alone", async () => {
  await act("shelve");
  await env.HOST.getByName(agent.host).updateService({ enabled: false });
  const request = "req-nowhere";
  await server().act({ ...actor(), request_id: request }, "unshelve", {});
  expect(await rested()).toMatchObject({ vm_state: "shelved_offloaded", host: null, fault: null });
  expect((await server().action(actor(), request))?.action.message).toBe("Error");
  expect(await mine()).toHaveLength(1);
});

it("that is deleted takes its image along", async () => {
  await act("shelve");
  await server().remove(actor());
  await until(async () => (await show()) === null, "it is deleted");
  expect(await mine()).toEqual([]);
});

const CASES = (["shelve", "unshelve_offloaded"] as const).flatMap((flow) =>
  (FLOWS[flow]?.steps ?? []).map(({ name }, index) => ({ flow, index, name })),
);

describe.each(CASES)("$flow, at $name", ({ flow, index, name }) => {
  const steps = FLOWS[flow]?.steps ?? [];
  const step = () => {
    const found = steps[index];
    if (!found) throw new Error("no step");
    return found;
  };
  const action = flow === "shelve" ? "shelve" : "unshelve";
  beforeEach(async () => {
    if (action === "unshelve") await act("shelve");
  });

  it("is done once, though every step is run twice", async () => {
    runTwice(steps);
    const ended = await act(action);
    expect(ended.vm_state).toBe(action === "shelve" ? "shelved_offloaded" : "active");
    expect(await claimed()).toBe(action === "shelve" ? 0 : 1);
    expect(await mine()).toHaveLength(action === "shelve" ? 1 : 0);
  });

  it("goes on where it was cut off", async () => {
    const { run } = step();
    let cut = true;
    vi.spyOn(step(), "run").mockImplementation(async (context, memo) => {
      const done = await run(context, memo);
      if (!cut) return done;
      cut = false;
      throw new Error("cut off");
    });
    await server().act(actor(), action, { change: { requested_host: agent.host } });
    await until(async () => {
      await runDurableObjectAlarm(server());
      return (await show())?.task_state === null;
    }, "the server rests");
    expect((await show())?.vm_state).toBe(action === "shelve" ? "shelved_offloaded" : "active");
    expect(await mine()).toHaveLength(action === "shelve" ? 1 : 0);
  });

  // What comes after the last thing that can fail is not taken back.
  it.skipIf(["shelved", "leave", "forget"].includes(name))("that fails takes all back", async () => {
    failAfter(step());
    undoTwice(steps);
    const ended = await act(action);
    await until(async () => (await claimed()) === (action === "shelve" ? 1 : 0), "claims are as before");
    expect(await mine()).toHaveLength(action === "shelve" ? 0 : 1);
    if (action === "shelve") {
      expect(ended).toMatchObject({ vm_state: "active", power_state: 1, host: agent.host });
      expect(ended.fault?.message).toBe("injected");
    } else expect(ended).toMatchObject({ vm_state: "shelved_offloaded", host: null });
  });
});
