/** Every action through real objects: its call, where it ends, what a failure leaves, and what it costs in quota. */
import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Order } from "../../functions/conductor/order.ts";
import type { Action, VmState } from "../../functions/conductor/state.ts";
import type { Outcome } from "../../functions/protocol/frames.ts";
import type { Method } from "../../functions/protocol/methods.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, MEMBER, specOf } from "./specs.ts";

type Begun = Exclude<Action, "delete" | "soft_delete" | "force_delete">;

let agent: ScriptedAgent;
let project: string;
let count = 0;

beforeEach(async () => {
  project = `actions${count}`;
  agent = await new ScriptedAgent(`actions-h${count++}`).link();
});
afterEach(() => agent.unlink());

const actor = (request = "req-0") => ({ ...ADMIN, project_id: project, request_id: request });
const server = (uuid: string) => env.SERVER.getByName(uuid);
const show = (uuid: string) => server(uuid).show(actor());
const usage = () => env.PROJECT.getByName(project).usage();

async function create(change: Parameters<typeof specOf>[0] = {}): Promise<string> {
  const spec = specOf({ project_id: project, requested_host: agent.host, ...change });
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server(spec.uuid).create(actor("req-create"), spec, reserved.value.until);
  await settled(spec.uuid);
  return spec.uuid;
}

const settled = (uuid: string) =>
  until(async () => {
    const record = await show(uuid);
    return record?.task_state === null && record;
  }, "the task is over");

async function act(uuid: string, action: Begun, order: Order = {}, request = `req-${action}`) {
  const begun = await server(uuid).act(actor(request), action, order);
  expect(begun.ok, JSON.stringify(begun)).toBe(true);
  return settled(uuid);
}

const refuse = (method: Method) => {
  const obey = agent.answer;
  agent.answer = (call) =>
    call.method === method ? { ok: false, error: { code: "Unexpected", message: "no" } } : obey(call);
};

/** As little as may be told of a guest that runs. */
const RUNNING = {
  state: "running",
  driver: "scripted",
  hypervisor: null,
  hypervisor_os: null,
  uptime: null,
  config_drive: null,
  num_cpus: null,
  num_nics: null,
  num_disks: null,
  cpu_details: [],
  nic_details: [],
  disk_details: [],
  memory_details: { maximum: null, used: null },
};

/** How to come to where each may begin; and what it asks of the host, and where it ends. */
const GUEST_ACTIONS: [Begun, Begun[], Method, VmState, number, Method[]?][] = [
  ["stop", [], "power_off", "stopped", 4],
  ["start", ["stop"], "power_on", "active", 1],
  ["reboot_soft", [], "reboot", "active", 1],
  ["reboot_hard", ["suspend"], "reboot", "active", 1],
  ["pause", [], "pause", "paused", 3],
  ["unpause", ["pause"], "unpause", "active", 1],
  ["suspend", [], "suspend", "suspended", 7],
  ["resume", ["suspend"], "resume", "active", 1],
  ["rescue", ["stop"], "rescue", "rescued", 1, ["power_off"]],
  ["unrescue", ["rescue"], "unrescue", "active", 1],
  ["rebuild", [], "rebuild", "active", 1],
];

describe.each(GUEST_ACTIONS)("%s", (action, before, method, ends, power_state, first = []) => {
  it("is its call to the host, and ends where Nova ends", async () => {
    const uuid = await create();
    for (const each of before) await act(uuid, each);
    agent.calls.length = 0;
    expect(await act(uuid, action)).toMatchObject({ vm_state: ends, power_state, fault: null });
    expect(agent.calls.map((call) => call.method)).toEqual([...first, method]);
    const done = await server(uuid).action(actor(), `req-${action}`);
    expect(done?.action.message).toBeNull();
    expect(done?.events).toMatchObject([{ result: "Success", host: agent.host, details: null }]);
  });

  it("that fails is recorded, and leaves the server where Nova leaves it", async () => {
    const uuid = await create();
    for (const each of before) await act(uuid, each);
    const was = (await show(uuid))?.vm_state;
    refuse(method);
    const broken = ["suspend", "resume", "rescue", "unrescue", "rebuild"].includes(action);
    expect(await act(uuid, action)).toMatchObject({ vm_state: broken ? "error" : was });
    const done = await server(uuid).action(actor(), `req-${action}`);
    expect(done?.action.message).toBe("Error");
    expect(done?.events).toMatchObject([{ result: "Error", details: expect.stringContaining("no") }]);
  });
});

it.each<[string, Outcome, VmState]>([
  ["goes on", { ok: true, value: RUNNING }, "active"],
  ["has stopped", { ok: false, error: { code: "InstanceInvalidState", message: "it is off" } }, "error"],
  ["is gone", { ok: false, error: { code: "InstanceNotFound", message: "no such guest" } }, "error"],
  ["cannot be asked", { ok: false, error: { code: "HypervisorUnavailable", message: "later" } }, "suspended"],
])("a reboot that fails and whose guest %s leaves the server as Nova does", async (_, diagnostics, ends) => {
  const uuid = await create();
  await act(uuid, "suspend");
  refuse("reboot");
  const obey = agent.answer;
  agent.answer = (call) => (call.method === "get_diagnostics" ? diagnostics : obey(call));
  expect(await act(uuid, "reboot_hard")).toMatchObject({ vm_state: ends, fault: { message: "Unexpected: no" } });
});

it("shows what its host does on the way", async () => {
  const uuid = await create();
  const seen: (string | null | undefined)[] = [];
  const obey = agent.answer;
  agent.answer = (call) => {
    void show(uuid).then((record) => {
      seen.push(record?.task_state);
      agent.send({ t: "result", call: call.id, outcome: obey(call) ?? { ok: true, value: {} } });
    });
    return null;
  };
  await act(uuid, "reboot_soft", { memo: { reboot: "SOFT" } });
  await act(uuid, "reboot_hard", { memo: { reboot: "HARD" } });
  await act(uuid, "rebuild");
  expect(seen).toEqual(["reboot_started", "reboot_started_hard", "rebuild_spawning"]);
});

it.each([
  ["5", 5],
  [" 120 ", 120],
  ["99999", 3600],
  ["soon", 60],
  ["-1", 60],
])("an image that says %j for os_shutdown_timeout gives its guest %i s to shut down", async (told, timeout) => {
  const uuid = await create({ image_properties: { os_shutdown_timeout: told } });
  await act(uuid, "stop");
  expect(agent.calls.at(-1)).toMatchObject({ method: "power_off", params: { timeout } });
});

it("a server that was stopped is stopped again after a rebuild, and was not started", async () => {
  const uuid = await create();
  await act(uuid, "stop");
  const obey = agent.answer;
  agent.answer = (call) => (call.method === "rebuild" ? { ok: true, value: { power_state: 4 } } : obey(call));
  expect(await act(uuid, "rebuild")).toMatchObject({ vm_state: "stopped", power_state: 4 });
  expect(agent.calls.at(-1)?.params).toMatchObject({ start: false });
});

describe("a rebuild from another image", () => {
  const other = { id: crypto.randomUUID(), disk_format: "raw" as const, size: 1, sha512: "b".repeat(128) };
  const from = (uuid: string, image_properties: Record<string, string>) =>
    act(uuid, "rebuild", { change: { image: other, image_properties } });
  const decided = async (uuid: string) =>
    (await server(uuid).decisions(actor()))?.find(({ request_id }) => request_id === "req-rebuild");

  it("asks the host's filters for images, and tells how they chose", async () => {
    const uuid = await create();
    expect(await from(uuid, { hw_machine_type: "q35" })).toMatchObject({
      vm_state: "active",
      image: other,
      fault: null,
    });
    expect(agent.calls.at(-1)).toMatchObject({ method: "rebuild", params: { spec: { image: { id: other.id } } } });
    expect(await decided(uuid)).toMatchObject({
      chosen: [agent.host],
      filters: [{ name: "current host" }, { out: 1 }],
    });
  });

  it("that is not for its host is an error, its image is the old one, and its guest is left alone", async () => {
    const uuid = await create();
    const before = (await show(uuid))?.image;
    agent.calls.length = 0;
    expect(await from(uuid, { hw_architecture: "aarch64" })).toMatchObject({
      vm_state: "error",
      task_state: null,
      image: before,
      host: agent.host,
    });
    const record = await show(uuid);
    expect(record?.image_properties).toEqual({});
    expect(record?.fault).toMatchObject({
      code: 500,
      message: "No valid host was found. There are not enough hosts available.",
      details: expect.stringContaining("ImagePropertiesFilter let 0 of 1 through"),
    });
    expect(agent.calls).toEqual([]);
    expect(await decided(uuid)).toMatchObject({ chosen: [], filters: [{ name: "current host" }, { out: 0 }] });
    const done = await server(uuid).action(actor(), "req-rebuild");
    expect(done?.action.message).toBe("Error");
  });

  it("asks nobody when the image is its own", async () => {
    const uuid = await create();
    const image = (await show(uuid))!.image;
    expect(
      await act(uuid, "rebuild", { change: { image, image_properties: { hw_architecture: "aarch64" } } }),
    ).toMatchObject({ vm_state: "active" });
    expect(await decided(uuid)).toBeUndefined();
  });
});

it("a rescue boots the image that it is given, and its own without one", async () => {
  const uuid = await create();
  const other = { id: crypto.randomUUID(), disk_format: "raw" as const, size: 1, sha512: "a".repeat(128) };
  await act(uuid, "rescue", { memo: { image: other } });
  expect(agent.calls.at(-1)?.params).toMatchObject({ image: other });
  await act(uuid, "unrescue");
  await act(uuid, "rescue", {}, "req-again");
  expect(agent.calls.at(-1)?.params).toMatchObject({ image: { id: (await show(uuid))?.image.id } });
});

describe("a password", () => {
  const secrets = { admin_pass: "s3cret-pass", files: [] };

  it("goes to the guest, and stays nowhere", async () => {
    const uuid = await create();
    await act(uuid, "change_password", { secrets, wait: true });
    expect(agent.calls.at(-1)).toMatchObject({ method: "set_admin_password", params: { password: "s3cret-pass" } });
  });

  it.each([
    ["SetAdminPasswdNotSupported", 501],
    ["InstancePasswordSetFailed", 409],
  ] as const)("that the host refuses as %s is a %i at once, and the server as before", async (code, status) => {
    const uuid = await create();
    agent.answer = () => ({ ok: false, error: { code, message: "not here" } });
    const told = await server(uuid).act(actor(), "change_password", { secrets, wait: true });
    expect(told).toEqual({ ok: false, error: { kind: "failed", code: status, message: "not here" } });
    expect(await show(uuid)).toMatchObject({ vm_state: "active", task_state: null, fault: null });
  });
});

/** A host that there is not. */
const NOWHERE: Order = { memo: { move: { target: { host: "nowhere", forced: false } } }, wait: true };

describe.each(["resize", "migrate", "live_migrate", "evacuate"] as const)("%s", (action) => {
  it("that finds no host is recorded, and says so; but for an evacuation the server is as before", async () => {
    const uuid = await create();
    const told = await server(uuid).act(actor("req-move"), action, NOWHERE);
    const message = "No valid host was found. There are not enough hosts available.";
    expect(told).toMatchObject({ ok: false, error: { kind: "failed", code: 500, message } });
    expect(await show(uuid)).toMatchObject({
      vm_state: action === "evacuate" ? "error" : "active",
      task_state: null,
      host: agent.host,
      new_flavor: null,
      fault: { message },
    });
    expect((await server(uuid).action(actor(), "req-move"))?.events).toMatchObject([{ result: "Error" }]);
    expect(await usage()).toEqual({ instances: 1, cores: 1, ram: 1024 });
  });
});

describe("a resize", () => {
  it("beyond the quota is refused before it begins, and one within it is charged until it ends", async () => {
    const uuid = await create();
    const { flavor } = (await show(uuid)) ?? {};
    if (!flavor) throw new Error("no server");
    const bigger = (vcpus: number) => ({ change: { new_flavor: { ...flavor, flavorid: "big", vcpus } } });
    const told = await server(uuid).act(actor(), "resize", bigger(21));
    expect(told).toMatchObject({
      ok: false,
      error: { kind: "over_quota", over: [{ resource: "cores", requested: 20 }] },
    });
    expect(await show(uuid)).toMatchObject({ task_state: null });
    await server(uuid).act(actor(), "resize", { ...NOWHERE, ...bigger(20) });
    await until(async () => (await usage()).cores === 1, "what was kept aside is given back");
  });

  it("that never began gives back what was kept aside when its time is over", async () => {
    const uuid = await create();
    const stub = env.PROJECT.getByName(project);
    expect(await stub.reserveMore(uuid, { instances: 0, cores: 19, ram: 0 })).toMatchObject({ ok: true });
    expect(await usage()).toMatchObject({ cores: 20 });
    expect(await stub.quota(null)).toMatchObject({ in_use: { cores: 1 }, reserved: { cores: 19 } });
    expect(await stub.reserveMore(crypto.randomUUID(), { instances: 0, cores: 1, ram: 0 })).toMatchObject({
      ok: false,
    });
    await stub.releaseMore(uuid);
    expect(await usage()).toMatchObject({ cores: 1 });
  });
});

describe("reset", () => {
  it("sets the state, ends the task and touches no guest", async () => {
    const uuid = await create();
    agent.calls.length = 0;
    await server(uuid).reset(actor(), "error");
    expect(await settled(uuid)).toMatchObject({ vm_state: "error" });
    await server(uuid).reset(actor(), "active");
    expect(await settled(uuid)).toMatchObject({ vm_state: "active", host: agent.host });
    expect(agent.calls).toEqual([]);
  });

  it("of a server that is being built gives back what its build had claimed", async () => {
    agent.answer = ({ method }) => (method === "destroy" ? { ok: true, value: {} } : null);
    const spec = specOf({ project_id: project, requested_host: agent.host });
    const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
    if (!reserved.ok) throw new Error("over quota");
    await server(spec.uuid).create(actor(), spec, reserved.value.until);
    await until(() => agent.calls.some(({ method }) => method === "spawn"), "the build waits for its host");
    await server(spec.uuid).reset(actor(), "error");
    await server(spec.uuid).remove(actor());
    await until(async () => (await show(spec.uuid)) === null, "it is deleted");
    await until(async () => (await env.HOST.getByName(agent.host).state())?.used.instances === 0, "the claim is free");
  });
});

it("a lock keeps its reason, and opening it forgets it", async () => {
  const uuid = await create();
  const owner = { ...MEMBER, project_id: project };
  await server(uuid).lock(owner, "do not touch");
  expect(await show(uuid)).toMatchObject({ locked_by: "owner", locked_reason: "do not touch" });
  expect(await server(uuid).act(owner, "pause")).toEqual({ ok: false, error: { kind: "locked" } });
  expect(await server(uuid).act({ ...owner, request_id: "req-x" }, "evacuate", NOWHERE)).toMatchObject({
    error: { kind: "failed" },
  });
  await server(uuid).unlock(owner);
  expect(await show(uuid)).toMatchObject({ locked_by: null, locked_reason: null });
});
