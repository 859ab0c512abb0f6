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
afterEach(() => {
  vi.restoreAllMocks();
  for (const agent of agents) agent.unlink();
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

async function create(): Promise<string> {
  const spec = specOf({ project_id: project });
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

it("gives up when there is none left, and says so", async () => {
  for (const agent of agents) refuse(agent, "Unexpected");
  const server = await built(await create());
  expect(server).toMatchObject({ vm_state: "error", host: null });
  expect(server?.fault?.message).toContain("Exceeded maximum number of retries.");
  for (const agent of agents) await until(async () => (await used(agent)) === 0, "the claim is free");
});

it.each(["BuildAbortException", "ImageUnacceptable"] as const)("%s ends it at once", async (code) => {
  refuse(agents[0], code);
  expect(await built(await create())).toMatchObject({ vm_state: "error", fault: { message: `${code}: not here` } });
  expect(agents[1]?.calls).toEqual([]);
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
