/** What hosts say of guests unasked, through real objects: what becomes of servers, and of guests that nobody has. */
import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CAPABILITY, type FromAgent } from "../../functions/protocol/frames.ts";
import type { PowerState } from "../../functions/protocol/guest.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

let agent: ScriptedAgent;
let project: string;
let uuid: string;
let count = 0;

const actor = () => ({ ...ADMIN, project_id: project, request_id: `req-${crypto.randomUUID()}` });
const server = () => env.SERVER.getByName(uuid);
const show = () => server().show(actor());
const rested = () =>
  until(async () => {
    const record = await show();
    return record?.task_state === null ? record : null;
  }, "the server rests");
const becomes = (vm_state: string, power_state: PowerState) =>
  until(async () => {
    const record = await rested();
    return record.vm_state === vm_state && record.power_state === power_state ? record : null;
  }, `it is ${vm_state} at ${power_state}`);
const report = (power_state: PowerState, more: { generation?: number; fault?: string } = {}) =>
  agent.send({ t: "report", guests: [{ server: uuid, generation: 1, power_state, ...more }] });
const asked = () => agent.calls.map(({ method }) => method);

beforeEach(async () => {
  project = `sync${count}`;
  agent = await new ScriptedAgent(`sync-h${count++}`).link();
  const spec = specOf({ project_id: project, requested_host: agent.host });
  uuid = spec.uuid;
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server().create(actor(), spec, reserved.value.until);
  await becomes("active", 1);
});
afterEach(() => agent.unlink());

/** A report that changes nothing else, to know that those before it were heard. */
async function heard(power_state: PowerState): Promise<void> {
  report(power_state);
  await until(async () => (await show())?.power_state === power_state, "the last word is heard");
}

describe("a guest that changed by itself", () => {
  it.each([4, 6, 7] as const)("stops its active server by the stop of the API at %i", async (power) => {
    report(power);
    expect(await becomes("stopped", 4)).toMatchObject({ fault: null });
    expect(asked()).toEqual(["spawn", "power_off"]);
  });

  it.each([1, 3, 7] as const)("is switched off at %i when its server is stopped", async (power) => {
    await server().act(actor(), "stop");
    await becomes("stopped", 4);
    report(power);
    await until(() => asked().length === 3, "it is asked");
    await becomes("stopped", 4);
    expect(asked()).toEqual(["spawn", "power_off", "power_off"]);
  });

  it.each([0, 3] as const)("is only noted at %i when its server is active", async (power) => {
    report(power);
    await becomes("active", power);
    expect(asked()).toEqual(["spawn"]);
  });

  it("is tried to stop again by the next report when a stop failed", async () => {
    const obey = agent.answer;
    agent.answer = (call) =>
      call.method === "power_off" ? { ok: false, error: { code: "Unexpected", message: "no" } } : obey(call);
    report(6);
    await until(async () => (await rested()).fault !== null, "it failed");
    expect(await show()).toMatchObject({ vm_state: "active", power_state: 6 });
    agent.answer = obey;
    report(6);
    await becomes("stopped", 4);
  });

  it("that could not be started after its host leaves its server in ERROR, once", async () => {
    report(4, { fault: "The host was restarted, and this did not start." });
    expect(await becomes("error", 4)).toMatchObject({ fault: { code: 500, message: expect.stringContaining("host") } });
    expect(asked()).toEqual(["spawn"]);
    await server().act(actor(), "reboot_hard", { memo: { reboot: "HARD" } });
    await becomes("active", 1);
  });
});

describe("reports", () => {
  it("of the guest that is there are heard after an action that never came to its host", async () => {
    await server().act(actor(), "stop");
    await becomes("stopped", 4);
    const obey = agent.answer;
    agent.answer = () => ({ ok: false, error: { code: "HypervisorUnavailable", message: "libvirtd restarts" } });
    await server().act(actor(), "start");
    expect(await becomes("stopped", 4)).toMatchObject({ generation: 2, fault: { code: 500 } });
    agent.answer = obey;
    report(1);
    await until(() => asked().filter((method) => method === "power_off").length === 2, "it is switched off again");
    await becomes("stopped", 4);
  });

  it("doubled, of an older guest, of a guest with a task, or from another host, do nothing", async () => {
    report(4, { generation: 0 });
    const other = await new ScriptedAgent(`${agent.host}-other`).link();
    const away = { server: uuid, generation: 1, power_state: 4 } as const;
    expect(await server().guestReported(other.host, away)).toBe(false);
    await heard(3);
    report(3);
    report(3);
    await heard(1);
    agent.answer = () => null;
    await server().act(actor(), "reboot_soft", { memo: { reboot: "SOFT" } });
    await until(() => asked().includes("reboot"), "it is asked");
    expect(await server().guestReported(agent.host, { ...away })).toBe(false);
    expect(await show()).toMatchObject({ vm_state: "active", task_state: "reboot_started", power_state: 1 });
    expect(asked()).toEqual(["spawn", "reboot"]);
    other.unlink();
  });

  it("one after the other leave what the last says, however fast they come", async () => {
    for (let i = 0; i < 50; i++) report(i % 2 === 0 ? 3 : 0);
    await heard(1);
    await becomes("active", 1);
    expect(asked()).toEqual(["spawn"]);
  });

  it("that come late, of before a start, do not stop what was started", async () => {
    report(4);
    await becomes("stopped", 4);
    await server().act(actor(), "start");
    await becomes("active", 1);
    report(4);
    report(6);
    expect(await server().guestReported(agent.host, { server: uuid, generation: 1, power_state: 4 })).toBe(false);
    expect(await show()).toMatchObject({ vm_state: "active", power_state: 1, generation: 2 });
  });
});

describe("a guest that is not there", () => {
  const missing = () => {
    agent.answer = ({ method }) => ({
      ok: false,
      error: { code: "InstanceNotFound", message: `no guest to ${method}` },
    });
  };
  it("is told by a hello without it, and its server stays; a hard reboot fails in words, and a rebuild mends", async () => {
    agent.guests.clear();
    await agent.link();
    await becomes("active", 0);
    const obey = agent.answer;
    missing();
    await server().act(actor(), "reboot_hard", { memo: { reboot: "HARD" } });
    const { fault } = await becomes("error", 0);
    expect(fault).toMatchObject({ code: 500, message: "InstanceNotFound: no guest to reboot" });
    agent.answer = obey;
    await server().act(actor(), "rebuild", { memo: { was: "error" } });
    await becomes("active", 1);
  });

  it("leaves its server in ERROR when it is to be started", async () => {
    await server().act(actor(), "stop");
    await becomes("stopped", 4);
    missing();
    await server().act(actor(), "start");
    expect((await becomes("error", 4)).fault?.message).toBe("InstanceNotFound: no guest to power_on");
  });

  it("is not missed while its agent starts it after its host", async () => {
    agent.guests.clear();
    const send = agent.send.bind(agent);
    agent.send = (frame: FromAgent) => send(frame.t === "hello" ? { ...frame, resuming: [uuid] } : frame);
    await agent.link();
    await heard(1);
    expect(await show()).toMatchObject({ vm_state: "active", power_state: 1 });
  });
});

describe("a guest that nobody should have", () => {
  const deleted = async () => {
    await server().remove(actor());
    await until(async () => (await show()) === null, "it is deleted");
    await until(async () => (await env.HOST.getByName(agent.host).state())?.used.instances === 0, "it is gone");
    agent.calls.length = 0;
  };

  it("is destroyed when its server was deleted, by an agent that knows no better", async () => {
    await deleted();
    report(1);
    await until(() => asked().includes("destroy"), "it is destroyed");
  });

  it("is the agent's to deal with, where it can", async () => {
    await deleted();
    const send = agent.send.bind(agent);
    agent.send = (frame: FromAgent) =>
      send(frame.t === "hello" ? { ...frame, capabilities: [CAPABILITY.RUNNING_DELETED, "more"] } : frame);
    await agent.link();
    report(1);
    await until(() => agent.deleted.length === 1, "it is told");
    expect(agent.deleted).toMatchObject([{ server: uuid, generation: 1 }]);
    expect(agent.deleted[0]?.at).toBeGreaterThan(Date.now() - 60_000);
    expect(asked()).toEqual([]);
  });

  it("is destroyed when its server is elsewhere, and never when nobody has heard of it", async () => {
    const other = await new ScriptedAgent(`${agent.host}-other`).link();
    const unknown = crypto.randomUUID();
    other.send({ t: "report", guests: [{ server: unknown, generation: 1, power_state: 1 }] });
    other.send({ t: "report", guests: [{ server: uuid, generation: 1, power_state: 1 }] });
    await until(() => other.calls.length > 0, "it is destroyed");
    expect(other.calls).toMatchObject([{ method: "destroy", server: uuid }]);
    expect(asked()).toEqual(["spawn"]);
    other.unlink();
  });
});
