/** The real flows through real objects: failure injected at every step, every step twice, every undo twice. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { unpacked } from "../../functions/project/listing.ts";
import { err } from "../../functions/result.ts";
import { MOMENTS, OPERATION_NAMES } from "../crash/moments.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, MEMBER, specOf } from "./specs.ts";

let agent: ScriptedAgent;
let project: string;
let count = 0;

beforeEach(async () => {
  // A name for each test: the hosts of the others stay in the scheduler's view, and are down.
  project = `p${count}`;
  agent = await new ScriptedAgent(`h${count++}`).link();
});
afterEach(() => {
  vi.restoreAllMocks();
  agent.unlink();
});

const actor = () => ({ ...ADMIN, project_id: project });
const server = (uuid: string) => env.SERVER.getByName(uuid);
const show = (uuid: string) => server(uuid).show(actor());

async function create(change: Parameters<typeof specOf>[0] = {}): Promise<string> {
  const spec = specOf({ project_id: project, requested_host: agent.host, ...change });
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server(spec.uuid).create(actor(), spec, reserved.value.until);
  return spec.uuid;
}

const built = (uuid: string) =>
  until(async () => (await show(uuid))?.task_state === null && (await show(uuid)), "it was built or failed");

/** What the host, the project and the agent still hold. */
async function held() {
  const state = await env.HOST.getByName(agent.host).state();
  return {
    claimed: state?.used.instances,
    quota: (await env.PROJECT.getByName(project).usage()).instances,
    guests: agent.guests.size,
  };
}

async function remove(uuid: string) {
  expect((await server(uuid).remove(actor())).ok).toBe(true);
  await until(async () => (await show(uuid)) === null, "it is deleted");
  await until(async () => (await held()).quota === 0, "its row is gone");
}

it("builds: reserve, select, claim, spawn, commit", async () => {
  const uuid = await create();
  expect(await built(uuid)).toMatchObject({ vm_state: "active", host: agent.host, power_state: 1, fault: null });
  expect(await held()).toEqual({ claimed: 1, quota: 1, guests: 1 });
  await remove(uuid);
  expect(await held()).toEqual({ claimed: 0, quota: 0, guests: 0 });
});

describe.each(FLOWS.build?.steps.map((step, index) => ({ index, name: step.name })) ?? [])(
  "build, at $name",
  ({ index }) => {
    const step = () => {
      const found = FLOWS.build?.steps[index];
      if (!found) throw new Error("no step");
      return found;
    };
    it("leaves a clean ERROR behind when it fails before its work", async () => {
      vi.spyOn(step(), "run").mockResolvedValue(err({ code: 500, message: "injected" }));
      const uuid = await create();
      expect(await built(uuid)).toMatchObject({ vm_state: "error", host: null, fault: { message: "injected" } });
      await until(async () => (await held()).claimed === 0, "the claim is freed");
      expect(await held()).toEqual({ claimed: 0, quota: 1, guests: 0 });
      await remove(uuid);
    });

    it("takes its work back when it fails after it, undoing twice", async () => {
      failAfter(step());
      undoTwice(FLOWS.build?.steps ?? []);
      const uuid = await create();
      expect(await built(uuid)).toMatchObject({ vm_state: "error", host: null, fault: { message: "injected" } });
      expect(await held()).toEqual({ claimed: 0, quota: 1, guests: 0 });
      await remove(uuid);
    });

    it("is done once, though it is run twice", async () => {
      runTwice(FLOWS.build?.steps ?? []);
      const uuid = await create();
      expect(await built(uuid)).toMatchObject({ vm_state: "active", host: agent.host });
      expect(await held()).toEqual({ claimed: 1, quota: 1, guests: 1 });
      expect(agent.calls.filter((call) => call.method === "spawn")).toHaveLength(1);
      await remove(uuid);
    });

    it("is gone without a trace when it is deleted there", async () => {
      const original = step().run;
      // Flags, not promises: an object cannot be woken by what another one resolves.
      let [reached, released] = [false, false];
      vi.spyOn(step(), "run").mockImplementation(async (context, memo) => {
        reached = true;
        await until(() => released, "the test lets the step go");
        return original(context, memo);
      });
      const uuid = await create();
      await until(() => reached, "the step runs");
      await remove(uuid);
      released = true;
      await until(async () => (await held()).claimed === 0, "a late step claims nothing");
      expect(await held()).toEqual({ claimed: 0, quota: 0, guests: 0 });
      expect(await show(uuid)).toBeNull();
    });

    it("goes on by the alarm when it was cut off", async () => {
      vi.spyOn(step(), "run").mockRejectedValueOnce(new Error("the object was evicted"));
      const uuid = await create();
      await until(() => runDurableObjectAlarm(server(uuid)), "the alarm is set");
      expect(await built(uuid)).toMatchObject({ vm_state: "active" });
      await remove(uuid);
    });
  },
);

it("waits for a host that goes away in the middle, and is built when it is back", async () => {
  agent.answer = () => null;
  const uuid = await create();
  await until(() => agent.calls.length === 1, "the spawn is asked for");
  agent.unlink();
  await until(async () => !(await env.HOST.getByName(agent.host).state())?.connected, "the agent is gone");
  expect(await show(uuid)).toMatchObject({ vm_state: "building", task_state: "spawning" });
  const back = await new ScriptedAgent(agent.host).link();
  expect(await built(uuid)).toMatchObject({ vm_state: "active" });
  expect(back.calls.map((call) => call.id)).toEqual(agent.calls.map((call) => call.id));
  agent = back;
  await remove(uuid);
});

it("deletes while the host is away; the guest ends, and its claim is freed, when it returns", async () => {
  const uuid = await create();
  await built(uuid);
  agent.unlink();
  await until(async () => !(await env.HOST.getByName(agent.host).state())?.connected, "the agent is gone");
  await remove(uuid);
  expect(await held()).toEqual({ claimed: 1, quota: 0, guests: 1 });
  await agent.link();
  await until(async () => (await held()).claimed === 0, "the claim is freed");
  expect(agent.guests.size).toBe(0);
});

it("asks again for a destroy that failed", async () => {
  const uuid = await create();
  await built(uuid);
  const act = agent.answer;
  agent.answer = (call) => {
    agent.answer = act;
    return { ok: false, error: { code: "Unexpected", message: `no ${call.method} now` } };
  };
  expect((await server(uuid).remove(actor())).ok).toBe(true);
  await until(() => agent.calls.some((call) => call.method === "destroy"), "destroy was asked for");
  await until(async () => {
    await runDurableObjectAlarm(server(uuid));
    return (await show(uuid)) === null;
  }, "it is deleted");
  expect(await held()).toMatchObject({ claimed: 0, guests: 0 });
});

it("fails cleanly when no host has room", async () => {
  const large = specOf().flavor;
  const uuid = await create({ flavor: { ...large, ram: 20_000 } });
  expect(await built(uuid)).toMatchObject({
    vm_state: "error",
    fault: { code: 500, message: "No valid host was found. There are not enough hosts available." },
  });
});

it("tells a server what its guest did by itself", async () => {
  const uuid = await create();
  await built(uuid);
  agent.send({ t: "report", guests: [{ server: uuid, generation: 1, power_state: 4 }] });
  await until(async () => (await show(uuid))?.vm_state === "stopped", "it is stopped");
  agent.send({ t: "report", guests: [{ server: uuid, generation: 0, power_state: 1 }] });
  agent.send({ t: "report", guests: [{ server: uuid, generation: 1, power_state: 1 }] });
  await until(() => agent.calls.some((call) => call.method === "power_off"), "what started behind our back is stopped");
  await until(async () => (await show(uuid))?.task_state === null, "the stop is over");
  expect(await show(uuid)).toMatchObject({ vm_state: "stopped", power_state: 4 });
});

it("ends a guest whose server is deleted, and leaves one that nobody knows", async () => {
  const uuid = await create();
  await built(uuid);
  await remove(uuid);
  const stranger = crypto.randomUUID();
  agent.guests.set(uuid, { server: uuid, generation: 1, power_state: 1 });
  agent.guests.set(stranger, { server: stranger, generation: 1, power_state: 1 });
  agent.unlink();
  await agent.link();
  await until(() => !agent.guests.has(uuid), "the deleted server's guest is ended");
  expect(agent.guests.has(stranger)).toBe(true);
});

it("hides a server from another project", async () => {
  const uuid = await create();
  expect(await server(uuid).show({ ...MEMBER, project_id: "other" })).toBeNull();
  expect((await server(uuid).remove({ ...MEMBER, project_id: "other" })).ok).toBe(false);
  await built(uuid);
});

describe("a lock", () => {
  const owner = () => ({ ...MEMBER, project_id: project });

  it("holds its owner off, but not an admin, until it is opened", async () => {
    const uuid = await create();
    await built(uuid);
    await server(uuid).lock(owner());
    expect(await server(uuid).act(owner(), "stop")).toEqual({ ok: false, error: { kind: "locked" } });
    expect(await server(uuid).remove(owner())).toEqual({ ok: false, error: { kind: "locked" } });
    const items = { of: "metadata", do: "merge", items: { a: "b" } } as const;
    expect(await server(uuid).change(owner(), items)).toEqual({ ok: false, error: { kind: "locked" } });
    expect(await server(uuid).change(owner(), { of: "tags", do: "add", tag: "t" })).toMatchObject({ ok: true });
    expect(await server(uuid).change(actor(), items)).toMatchObject({ ok: true });
    await server(uuid).unlock(owner());
    expect(await server(uuid).act(owner(), "stop")).toMatchObject({ ok: true });
  });

  it("of an admin is not the owner's to open", async () => {
    const uuid = await create();
    await built(uuid);
    await server(uuid).lock({ ...ADMIN, project_id: "elsewhere" });
    expect(await server(uuid).unlock(owner())).toEqual({ ok: false, error: { kind: "admin_lock" } });
    expect(await server(uuid).unlock(actor())).toMatchObject({ ok: true });
  });
});

it("publishes a change that comes while the last word is on its way", async () => {
  const uuid = await create();
  await built(uuid);
  const stub = server(uuid);
  const tags = ["a", "b", "c", "d"];
  await Promise.all(tags.map((tag) => stub.change(actor(), { of: "tags", do: "add", tag })));
  const listed = async () => {
    const page = await env.PROJECT.getByName(project).list({ filters: [], sort: [], limit: 10 });
    return page.ok ? (unpacked(page.value).servers[0]?.tags ?? []) : [];
  };
  await until(async () => (await listed()).length === tags.length, "the list has them all");
});

it.each(OPERATION_NAMES)("%s is crashed in every step that it has", (name) => {
  expect(Object.keys(MOMENTS[name])).toEqual(FLOWS[name]?.steps.map((step) => step.name));
});
