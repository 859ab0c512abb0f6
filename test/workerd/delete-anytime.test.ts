/** A delete at any moment: whatever a server is doing, it is gone, and leaves no claim, guest, image or quota. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Context } from "../../functions/conductor/context.ts";
import { FLOWS } from "../../functions/conductor/flows.ts";
import type { Order } from "../../functions/conductor/order.ts";
import { type Action, TASK_STATES, type TaskState } from "../../functions/conductor/state.ts";
import { snapshotImage } from "../../functions/image/snapshot-image.ts";
import type { Method } from "../../functions/protocol/methods.ts";
import { keepDeleted } from "./keep-deleted.ts";
import { type Call, ScriptedAgent, until } from "./scripted-agent.ts";
import { takesSnapshots } from "./snapshot-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

type Begun = Exclude<Action, "delete" | "soft_delete" | "force_delete"> | "create" | "remove" | "soft";
/** `holds`: the call that its host does not answer, or the step that does not begin. */
type Way = { before?: Begun[]; act: Begun; holds: Method | { flow: string; step: number } };

/** How a server comes to show each task, and what keeps it there. */
const WAYS: Partial<Record<TaskState, Way>> = {
  scheduling: { act: "create", holds: { flow: "build", step: 0 } },
  spawning: { act: "create", holds: "spawn" },
  image_snapshot_pending: { act: "create_image", holds: { flow: "create_image", step: 0 } },
  image_snapshot: { act: "create_image", holds: "snapshot" },
  image_pending_upload: { act: "create_image", holds: { flow: "create_image", step: 1 } },
  image_uploading: { act: "create_image", holds: "upload_snapshot" },
  image_backup: { act: "create_backup", holds: "snapshot" },
  updating_password: { act: "change_password", holds: "set_admin_password" },
  rebooting: { act: "reboot_soft", holds: { flow: "reboot", step: 0 } },
  reboot_started: { act: "reboot_soft", holds: "reboot" },
  rebooting_hard: { act: "reboot_hard", holds: { flow: "reboot", step: 0 } },
  reboot_started_hard: { act: "reboot_hard", holds: "reboot" },
  pausing: { act: "pause", holds: "pause" },
  unpausing: { before: ["pause"], act: "unpause", holds: "unpause" },
  suspending: { act: "suspend", holds: "suspend" },
  resuming: { before: ["suspend"], act: "resume", holds: "resume" },
  "powering-off": { act: "stop", holds: "power_off" },
  "powering-on": { before: ["stop"], act: "start", holds: "power_on" },
  rescuing: { act: "rescue", holds: "rescue" },
  unrescuing: { before: ["rescue"], act: "unrescue", holds: "unrescue" },
  rebuilding: { act: "rebuild", holds: { flow: "rebuild", step: 0 } },
  rebuild_spawning: { act: "rebuild", holds: "rebuild" },
  deleting: { act: "remove", holds: "destroy" },
  "soft-deleting": { act: "soft", holds: "power_off" },
  restoring: { before: ["soft"], act: "restore", holds: "power_on" },
  shelving: { act: "shelve", holds: "power_off" },
  shelving_image_pending_upload: { act: "shelve", holds: { flow: "shelve", step: 3 } },
  shelving_image_uploading: { act: "shelve", holds: "upload_snapshot" },
  shelving_offloading: { act: "shelve", holds: "destroy" },
  unshelving: { before: ["shelve"], act: "unshelve", holds: { flow: "unshelve_offloaded", step: 0 } },
};
/** Those that no server comes to show here: it is never moved, has no volumes, and is not kept waiting for a reboot. */
const NEVER = /^(resize_|migrating$|rebuild_block_device_mapping$|reboot_pending)/;

const images = env.IMAGES.getByName("default");
let agent: ScriptedAgent;
let project: string;
let count = 0;

beforeEach(async () => {
  project = `any${count}`;
  agent = takesSnapshots(await new ScriptedAgent(`any${count++}`).link());
});
afterEach(() => {
  vi.restoreAllMocks();
  agent.unlink();
});

const actor = () => ({ ...ADMIN, project_id: project, request_id: `req-${crypto.randomUUID()}` });
const server = (uuid: string) => env.SERVER.getByName(uuid);
const show = (uuid: string) => server(uuid).show(actor());

async function create(): Promise<string> {
  const spec = specOf({ project_id: project, requested_host: agent.host });
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server(spec.uuid).create(actor(), spec, reserved.value.until);
  return spec.uuid;
}

async function queued(uuid: string): Promise<string> {
  const record = await show(uuid);
  if (!record) throw new Error("no server");
  const made = snapshotImage(record, null, { name: "shot", metadata: {}, user_id: "u", project_id: project });
  if (!made.ok) throw new Error("no image");
  await images.add(made.value);
  return made.value.id;
}

async function orderOf(uuid: string, action: Begun): Promise<Order> {
  if (action === "create_image") return { memo: { snapshot: { image: await queued(uuid) } } };
  if (action === "create_backup") {
    return { memo: { snapshot: { image: await queued(uuid), backup: { backup_type: "daily", rotation: 1 } } } };
  }
  if (action === "reboot_soft") return { memo: { reboot: "SOFT" } };
  if (action === "change_password") return { secrets: { admin_pass: "s3cret", files: [] } };
  return action === "unshelve" ? { change: { requested_host: agent.host } } : {};
}

async function begin(uuid: string, action: Begun): Promise<void> {
  if (action === "create") return;
  if (action === "soft") await keepDeleted(uuid, 1000);
  const begun =
    action === "remove" || action === "soft"
      ? await server(uuid).remove(actor())
      : await server(uuid).act(actor(), action, await orderOf(uuid, action));
  expect(begun.ok, JSON.stringify(begun)).toBe(true);
  await keepDeleted(uuid, 0);
}

const rested = (uuid: string) =>
  until(async () => {
    await runDurableObjectAlarm(server(uuid));
    return (await show(uuid))?.task_state === null;
  }, "the server rests");

/** Keeps what shows the task from going on until it is let go. */
function hold(holds: Way["holds"]): () => void {
  let released = false;
  if (typeof holds === "string") {
    const held: Call[] = [];
    const obey = agent.answer;
    agent.answer = (call) => {
      if (call.method !== holds || released) return obey(call);
      held.push(call);
      return null;
    };
    return () => {
      released = true;
      for (const call of held) {
        const outcome = obey(call);
        if (outcome) agent.send({ t: "result", call: call.id, outcome });
      }
    };
  }
  const step = FLOWS[holds.flow]?.steps[holds.step];
  if (!step) throw new Error("no step");
  const { run } = step;
  const held = () => until(() => released, "the test lets it go");
  vi.spyOn(step, "run").mockImplementation(async (context, memo) => {
    // An upload shows its first task before it asks for the image's place.
    if (step.name === "upload") return run({ ...context, images: () => waiting(context, held) }, memo);
    await held();
    return run(context, memo);
  });
  return () => {
    released = true;
  };
}

function waiting(context: Context, held: () => Promise<unknown>): ReturnType<Context["images"]> {
  return new Proxy(context.images(), {
    get(target, key) {
      const found: unknown = Reflect.get(target, key, target);
      if (key !== "expectUpload" || typeof found !== "function") return found;
      return async (...args: unknown[]) => {
        await held();
        return found.apply(target, args);
      };
    },
  });
}

async function left() {
  const state = await env.HOST.getByName(agent.host).state();
  const mine = (await images.list()).filter(({ owner }) => owner === project);
  return {
    claims: state?.used.instances,
    guests: agent.guests.size,
    images: mine.length,
    quota: (await env.PROJECT.getByName(project).usage()).instances,
  };
}

it("is tried in every task that a server comes to show", () => {
  expect(TASK_STATES.filter((task) => !NEVER.test(task) && !(task in WAYS))).toEqual([]);
});

describe.each(Object.entries(WAYS))("while it is %s", (task, way) => {
  it("is gone, and leaves nothing", async () => {
    const creates = way.act === "create";
    let release: () => void = creates ? hold(way.holds) : () => undefined;
    const uuid = await create();
    if (!creates) {
      await rested(uuid);
      for (const action of way.before ?? []) {
        await begin(uuid, action);
        await rested(uuid);
      }
      release = hold(way.holds);
      await begin(uuid, way.act);
    }
    await until(async () => (await show(uuid))?.task_state === task, `it is ${task}`);
    if (typeof way.holds === "string") {
      await until(() => agent.calls.some(({ method }) => method === way.holds), "its host was asked");
    }

    expect((await server(uuid).remove(actor())).ok).toBe(true);
    // What its delete itself waits for is answered; all else is cut off.
    if (way.holds === "destroy") release();
    await until(async () => (await show(uuid)) === null, "it is gone");
    const nothing = { claims: 0, guests: 0, images: 0, quota: 0 };
    await until(async () => JSON.stringify(await left()) === JSON.stringify(nothing), "nothing is left of it").catch(
      async () => expect(await left()).toEqual(nothing),
    );
    release();
    await runDurableObjectAlarm(server(uuid));
    expect(await show(uuid)).toBeNull();
    expect(await left()).toMatchObject({ claims: 0, quota: 0, images: 0 });
  });
});

describe("a guest that its host cannot end", () => {
  const ring = (uuid: string) => runDurableObjectAlarm(server(uuid));
  const failed = (uuid: string) =>
    until(async () => {
      await ring(uuid);
      return (await show(uuid))?.vm_state === "error";
    }, "it has failed");
  const refuse = (code: "Unexpected" | "HypervisorUnavailable") => {
    const obey = agent.answer;
    agent.answer = (call) =>
      call.method === "destroy" ? { ok: false, error: { code, message: "device busy" } } : obey(call);
    return () => {
      agent.answer = obey;
    };
  };

  it("leaves its server in ERROR and its claim where it is, until it is deleted again", async () => {
    const uuid = await create();
    await rested(uuid);
    const mend = refuse("Unexpected");
    await server(uuid).remove(actor());
    await failed(uuid);
    const details = expect.stringContaining("device busy");
    expect(await show(uuid)).toMatchObject({ task_state: null, host: agent.host, fault: { code: 500, details } });
    expect(await left()).toMatchObject({ claims: 1, quota: 1 });
    mend();
    await server(uuid).remove(actor());
    await until(async () => (await show(uuid)) === null, "it is gone");
    await until(async () => (await left()).claims === 0, "its claim is free");
  });

  it("may be built anew, and is then not ended by what was asked before", async () => {
    const uuid = await create();
    await rested(uuid);
    const mend = refuse("Unexpected");
    await server(uuid).remove(actor());
    await failed(uuid);
    mend();
    await begin(uuid, "rebuild");
    await rested(uuid);
    expect(await show(uuid)).toMatchObject({ vm_state: "active" });
    const calls = agent.calls.length;
    agent.unlink();
    await agent.link();
    await until(async () => (await env.HOST.getByName(agent.host).state())?.up, "the host is up");
    expect(agent.calls.slice(calls).map(({ method }) => method)).toEqual([]);
    expect(await left()).toMatchObject({ claims: 1, guests: 1 });
  });

  it("because its hypervisor is away is waited for", async () => {
    const uuid = await create();
    await rested(uuid);
    const mend = refuse("HypervisorUnavailable");
    await server(uuid).remove(actor());
    await until(() => agent.calls.filter(({ method }) => method === "destroy").length > 0, "it was asked");
    for (let i = 0; i < 12; i++) await ring(uuid);
    expect(await show(uuid)).toMatchObject({ vm_state: "active", task_state: "deleting" });
    mend();
    await until(async () => {
      await ring(uuid);
      return (await show(uuid)) === null;
    }, "it is gone");
  });
});
