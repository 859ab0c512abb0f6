/** A build that fails on one host goes on to the next (nova: RescheduledException, BuildAbortException). */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import type { CallErrorCode } from "../../functions/protocol/methods.ts";
import { INVENTORY, ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

let agents: ScriptedAgent[];
let project: string;
let count = 0;

beforeEach(async () => {
  project = `again${count}`;
  // The first is the emptiest, and so the first choice.
  agents = [];
  for (const memory_mb of [16_384, 12_288, 8_192]) {
    const agent = new ScriptedAgent(`again${count++}`);
    agents.push(await agent.link({ ...INVENTORY, memory_mb }));
  }
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const agent of agents) {
    agent.unlink();
    await env.HOST.getByName(agent.host).updateService({ enabled: false });
  }
});

const actor = () => ({ ...ADMIN, project_id: project });
const used = (agent: ScriptedAgent | undefined) =>
  agent &&
  env.HOST.getByName(agent.host)
    .state()
    .then((state) => state?.used.instances);
const refuse = (agent: ScriptedAgent | undefined, code: CallErrorCode) => {
  if (!agent) throw new Error("no agent");
  const obey = agent.answer;
  agent.answer = (call) => (call.method === "spawn" ? { ok: false, error: { code, message: "not here" } } : obey(call));
};

async function create(change: Parameters<typeof specOf>[0] = {}): Promise<string> {
  const spec = specOf({ project_id: project, ...change });
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await env.SERVER.getByName(spec.uuid).create(actor(), spec, reserved.value.until);
  return spec.uuid;
}
const show = (uuid: string) => env.SERVER.getByName(uuid).show(actor());
async function built(uuid: string) {
  await until(async () => {
    await runDurableObjectAlarm(env.SERVER.getByName(uuid));
    return (await show(uuid))?.task_state === null;
  }, "it was built or failed");
  return show(uuid);
}

it("goes on to the alternates, and leaves nothing where it failed", async () => {
  refuse(agents[0], "Unexpected");
  refuse(agents[1], "InsufficientFreeDisk");
  expect(await built(await create())).toMatchObject({ vm_state: "active", host: agents[2]?.host, fault: null });
  await until(async () => (await used(agents[0])) === 0 && (await used(agents[1])) === 0, "the claims are free");
  expect(await used(agents[2])).toBe(1);
});

it("waits for the agents of hosts that are up, as they are all away for a moment after an outage of the edge", async () => {
  for (const agent of agents) agent.unlink();
  const uuid = await create();
  await until(async () => (await runDurableObjectAlarm(env.SERVER.getByName(uuid))) === true, "it waits");
  expect(await show(uuid)).toMatchObject({ vm_state: "building", task_state: "scheduling", host: null });
  await agents[0]?.link({ ...INVENTORY, memory_mb: 16_384 });
  expect(await built(uuid)).toMatchObject({ vm_state: "active", host: agents[0]?.host });
});

it("gives up when there is none left, and says so", async () => {
  for (const agent of agents) refuse(agent, "Unexpected");
  const uuid = await create();
  const message =
    `Exceeded maximum number of retries. Exceeded max scheduling attempts 3 for instance ${uuid}. ` +
    "Last exception: not here";
  expect(await built(uuid)).toMatchObject({ vm_state: "error", host: null, fault: { code: 500, message } });
  for (const agent of agents) await until(async () => (await used(agent)) === 0, "the claim is free");
});

it.each(["BuildAbortException", "ImageUnacceptable"] as const)("%s ends it at once", async (code) => {
  refuse(agents[0], code);
  const uuid = await create();
  expect(await built(uuid)).toMatchObject({
    vm_state: "error",
    fault: {
      code: 500,
      message: `Build of instance ${uuid} aborted: not here`,
      details: `${agents[0]?.host}: ${code}: not here`,
    },
  });
  expect(agents[1]?.calls).toEqual([]);
});

it("says that all were tried when there were fewer than it may try", async () => {
  agents.pop()?.unlink();
  for (const agent of agents) refuse(agent, "Unexpected");
  const uuid = await create();
  const why = `Exhausted all hosts available for retrying build failures for instance ${uuid}.`;
  const fault = { code: 500, message: `Exceeded maximum number of retries. ${why}` };
  expect(await built(uuid)).toMatchObject({ vm_state: "error", fault });
});

it("tries no other than a host that was forced", async () => {
  refuse(agents[0], "Unexpected");
  const server = await built(await create({ requested_host: agents[0]?.host ?? null }));
  expect(server).toMatchObject({ vm_state: "error", fault: { message: "Unexpected: not here" } });
  expect(agents[1]?.calls).toEqual([]);
});

it("records an event for the choice, and one for each host that tried", async () => {
  refuse(agents[0], "Unexpected");
  const uuid = await create();
  await built(uuid);
  const { action, events } = (await env.SERVER.getByName(uuid).action(actor(), ADMIN.request_id)) ?? {};
  expect(action?.message).toBeNull();
  const build = "compute__do_build_and_run_instance";
  expect(events).toMatchObject([
    { event: "conductor_schedule_and_build_instances", result: "Success", details: expect.stringContaining("chosen") },
    { event: build, result: "Error", host: agents[0]?.host, details: "Unexpected: not here" },
    { event: build, result: "Success", host: agents[1]?.host, details: null },
  ]);
});

describe("for the weigher", () => {
  const failed = async (agent: ScriptedAgent | undefined) =>
    agent && (await env.HOST.getByName(agent.host).state())?.failed_builds;

  it("each build that failed counts, whoever's fault it was, and one that did not ends the count", async () => {
    const [first] = agents;
    if (!first) throw new Error("no agent");
    const obey = first.answer;
    const forced = { requested_host: first.host };
    for (const code of ["Unexpected", "BuildAbortException", "ImageUnacceptable"] as const) {
      refuse(first, code);
      await built(await create(forced));
      first.answer = obey;
    }
    expect(await failed(first)).toBe(3);
    await built(await create(forced));
    expect(await failed(first)).toBe(0);
  });

  it("a group that forbids the host is no failure of it", async () => {
    const [first] = agents;
    if (!first) throw new Error("no agent");
    const server_group = crypto.randomUUID();
    const group = { id: server_group, name: "g", max_server_per_host: null, user_id: "u" };
    await env.PROJECT.getByName(project).createGroup({ ...group, policy: "anti-affinity" });
    const there = { server_group, requested_host: first.host };
    expect(await built(await create(there))).toMatchObject({ vm_state: "active" });
    // A host that is forced is not asked whether the group lets it through: the check after the claim is.
    const refused = await built(await create(there));
    expect(refused).toMatchObject({ vm_state: "error", host: null });
    expect(refused?.fault?.message).toBe("No valid host was found. There are not enough hosts available.");
    expect(await failed(first)).toBe(0);
    await until(async () => (await used(first)) === 1, "the claim is free");
  });

  it("a build that was deleted is none", async () => {
    const [first] = agents;
    if (!first) throw new Error("no agent");
    const obey = first.answer;
    first.answer = (call) => (call.method === "spawn" ? null : obey(call));
    const uuid = await create({ requested_host: first.host });
    const spawn = await until(() => first.calls.find(({ method }) => method === "spawn"), "it is being built");
    await env.SERVER.getByName(uuid).remove(actor());
    await until(async () => (await show(uuid)) === null, "it is gone");
    const error = { code: "BuildAbortException", message: "the server is being deleted" } as const;
    first.send({ t: "result", call: spawn.id, outcome: { ok: false, error } });
    await until(() => first.acks.includes(spawn.id), "the answer came");
    expect(await failed(first)).toBe(0);
  });
});

describe("cut off while it goes on", () => {
  it.each(["dismiss", "claim"] as const)("at the %s, it goes on from there, to one host alone", async (method) => {
    refuse(agents[0], "Unexpected");
    const spawn = FLOWS.build?.steps.find(({ name }) => name === "spawn");
    if (!spawn) throw new Error("no step");
    const { run } = spawn;
    let cut = true;
    vi.spyOn(spawn, "run").mockImplementation((context, memo) => {
      const host = (name: string) => {
        const stub = context.host(name);
        return new Proxy(stub, {
          get(target, key) {
            const found: unknown = Reflect.get(target, key, target);
            if (key !== method || !cut || typeof found !== "function") return found;
            return async (...args: unknown[]) => {
              cut = false;
              await found.apply(target, args);
              throw new Error("cut off");
            };
          },
        });
      };
      return run({ ...context, host }, memo);
    });
    expect(await built(await create())).toMatchObject({ vm_state: "active", host: agents[1]?.host });
    expect(cut).toBe(false);
    await until(async () => (await used(agents[0])) === 0, "the claim is free");
    expect(await used(agents[1])).toBe(1);
    expect(await used(agents[2])).toBe(0);
  });
});
