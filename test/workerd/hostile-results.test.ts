/** Rubbish for an answer to every method: it is a failure of that call, and of nothing else. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { guestSpec } from "../../functions/conductor/guest-spec.ts";
import type { Order } from "../../functions/conductor/order.ts";
import type { Action, VmState } from "../../functions/conductor/state.ts";
import { snapshotImage } from "../../functions/image/snapshot-image.ts";
import type { Outcome } from "../../functions/protocol/frames.ts";
import { METHODS, type Method } from "../../functions/protocol/methods.ts";
import { MovingWorld } from "./moving.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { takesSnapshots } from "./snapshot-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

type Begun = Exclude<Action, "delete" | "soft_delete" | "force_delete">;

const RUBBISH: Readonly<Record<string, unknown>> = {
  "no outcome": undefined,
  "an outcome that is a word": "done",
  "an outcome that is neither": { ok: "maybe" },
  "no value": { ok: true },
  "an empty value": { ok: true, value: {} },
  "a list for a value": { ok: true, value: [] },
  "a value of other types": {
    ok: true,
    value: { power_state: "on", size: -1, sha512: 7, disk_format: "vmdk", output: null, cached: "no", uptime: {} },
  },
  "a value out of bounds": { ok: true, value: { power_state: 5, size: 2 ** 60, sha512: "f", transport: "carrier" } },
  "a value of great depth": { ok: true, value: { a: { b: { c: { d: {} } } } } },
  "a value with a prototype": { ok: true, value: JSON.parse('{"__proto__":{"power_state":1}}') },
  "no error": { ok: false },
  "an error of a newer agent": { ok: false, error: { code: "DiskOnFire", message: "so it is" } },
  "an error of great length": { ok: false, error: { code: "Unexpected", message: "x".repeat(100_000) } },
};

/** How each method comes to be asked, and where the server is after it failed. */
const WAYS: Partial<Record<Method, { before?: Begun[]; act: Begun; ends: VmState }>> = {
  power_on: { before: ["stop"], act: "start", ends: "stopped" },
  power_off: { act: "stop", ends: "active" },
  reboot: { act: "reboot_soft", ends: "active" },
  pause: { act: "pause", ends: "active" },
  unpause: { before: ["pause"], act: "unpause", ends: "paused" },
  suspend: { act: "suspend", ends: "error" },
  resume: { before: ["suspend"], act: "resume", ends: "error" },
  rescue: { act: "rescue", ends: "error" },
  unrescue: { before: ["rescue"], act: "unrescue", ends: "error" },
  rebuild: { act: "rebuild", ends: "error" },
  snapshot: { act: "create_image", ends: "active" },
  upload_snapshot: { act: "create_image", ends: "active" },
  set_admin_password: { act: "change_password", ends: "active" },
};
/** Those of moves: which host is asked, and where the server is after they failed. */
const MOVES: Partial<
  Record<Method, { before?: Begun; act: Begun; of: "source" | "destination"; ends: VmState; at?: "source" }>
> = {
  migrate_disk_and_power_off: { act: "migrate", of: "source", ends: "active" },
  finish_revert_migration: { before: "migrate", act: "revert_resize", of: "source", ends: "error", at: "source" },
  send_disks: { act: "migrate", of: "source", ends: "active" },
  receive_disks: { act: "migrate", of: "destination", ends: "active" },
  finish_migration: { act: "migrate", of: "destination", ends: "error" },
  pre_live_migration: { act: "live_migrate", of: "destination", ends: "active" },
  live_migration: { act: "live_migrate", of: "source", ends: "active" },
  post_live_migration_at_destination: { act: "live_migrate", of: "destination", ends: "error" },
};
/** Asked by a build, a delete, a resize that stays (resize-here.test.ts), or a request that waits. */
const OTHERS: readonly Method[] = ["spawn", "destroy", "confirm_migration"];
const ASKED = [
  "get_vnc_console",
  "get_console_output",
  "get_diagnostics",
  "inject_nmi",
  "cache_image",
  "get_host_uptime",
  "open_console",
  "close_consoles",
  "share_console",
  "list_consoles",
  "instance_on_disk",
  "check_can_live_migrate_source",
  "check_can_live_migrate_destination",
  "abort_live_migration",
  "force_complete_live_migration",
] as const satisfies readonly Method[];
/** Of these the values say nothing. */
const SILENT: ReadonlySet<Method> = new Set([
  "inject_nmi",
  "open_console",
  "close_consoles",
  "share_console",
  "pre_live_migration",
  "abort_live_migration",
  "force_complete_live_migration",
]);
/** Where values say nothing, one that can be read at all is as good as another. */
const NOTHING: ReadonlySet<string> = new Set([
  "an empty value",
  "a value of other types",
  "a value out of bounds",
  "a value with a prototype",
]);
/** One of each kind: what cannot be read, what has a wrong shape, and an error that nobody knows. */
const SAMPLES = ["an outcome that is a word", "a value of other types", "an error of a newer agent"] as const;

let agent: ScriptedAgent;
let project: string;
let uuid: string;
let count = 0;

const actor = () => ({ ...ADMIN, project_id: project, request_id: `req-${crypto.randomUUID()}` });
const server = () => env.SERVER.getByName(uuid);
const show = () => server().show(actor());
const host = () => env.HOST.getByName(agent.host);

async function create(): Promise<void> {
  const spec = specOf({ project_id: project, requested_host: agent.host });
  uuid = spec.uuid;
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server().create(actor(), spec, reserved.value.until);
}
const rested = () =>
  until(async () => {
    await runDurableObjectAlarm(server());
    const record = await show();
    return record?.task_state === null && record;
  }, "the server rests");

async function act(action: Begun): Promise<void> {
  const begun = await server().act(actor(), action, await orderOf(action));
  expect(begun.ok, JSON.stringify(begun)).toBe(true);
  await rested();
}

async function orderOf(action: Begun): Promise<Order> {
  if (action === "change_password") return { secrets: { admin_pass: "s3cret", files: [] } };
  if (action !== "create_image") return {};
  const record = await show();
  if (!record) throw new Error("no server");
  const made = snapshotImage(record, null, { name: "shot", metadata: {}, user_id: "u", project_id: project });
  if (!made.ok) throw new Error("no image");
  await env.IMAGES.getByName("default").add(made.value);
  return { memo: { snapshot: { image: made.value.id } } };
}

/** From now on the method is answered with this, whatever a sane agent's encoder would say. */
function answers(method: Method, outcome: unknown): () => void {
  const obey = agent.answer;
  agent.answer = (call) => {
    if (call.method !== method) return obey(call);
    agent.raw(JSON.stringify({ t: "result", call: call.id, outcome }));
    return null;
  };
  return () => {
    agent.answer = obey;
  };
}

beforeEach(async () => {
  project = `rubbish${count}`;
  agent = takesSnapshots(await new ScriptedAgent(`rubbish${count++}`).link());
});
afterEach(async () => {
  // Whatever it said, its link is as it was.
  expect(agent.closed).toBeNull();
  expect((await host().state())?.up).toBe(true);
  agent.unlink();
});

it("is tried with every method", () => {
  const tried = new Set<string>([...Object.keys(WAYS), ...Object.keys(MOVES), ...OTHERS, ...ASKED]);
  expect(Object.keys(METHODS).filter((method) => !tried.has(method))).toEqual([]);
});

describe.each(Object.entries(WAYS) as [Method, NonNullable<(typeof WAYS)[Method]>][])("%s", (method, way) => {
  it("fails its action, each time, and leaves the server where a failure leaves it", { timeout: 30_000 }, async () => {
    await create();
    await rested();
    for (const what of SAMPLES) {
      // Where nothing is to be told, a value that tells more is no failure.
      if (NOTHING.has(what) && method === "set_admin_password") continue;
      for (const action of way.before ?? []) await act(action);
      const restore = answers(method, RUBBISH[what]);
      const request = actor();
      expect(await server().act(request, way.act, await orderOf(way.act)), what).toMatchObject({ ok: true });
      expect(await rested(), what).toMatchObject({ vm_state: way.ends });
      const { action, events } = (await server().action(actor(), request.request_id)) ?? {};
      expect(action?.message, what).toBe("Error");
      expect(events?.at(-1), what).toMatchObject({ result: "Error" });
      restore();
      await server().reset(actor(), "active");
      await rested();
    }
  });
});

describe.each(Object.entries(MOVES) as [Method, NonNullable<(typeof MOVES)[Method]>][])("%s", (method, way) => {
  const samples = SAMPLES.filter((what) => !(NOTHING.has(what) && SILENT.has(method)));

  it.each(samples)("fails its move, and leaves the server where a failure leaves it, after %s", async (what) => {
    const world = await MovingWorld.of(2);
    const at = way.of === "source" ? 0 : 1;
    world.answer(at, method, ({ id }) => {
      world.agent(at).raw(JSON.stringify({ t: "result", call: id, outcome: RUBBISH[what] }));
      return null;
    });
    if (way.before) await world.done(way.before);
    const record = await world.done(way.act);
    const isThere = way.ends === "error" && way.at === undefined;
    expect(record).toMatchObject({ vm_state: way.ends, host: world.agent(isThere ? 1 : 0).host });
    expect(["error", "failed"]).toContain((await world.migrations())[0]?.status);
    expect([world.agent(0).closed, world.agent(1).closed]).toEqual([null, null]);
    await world.close();
  });
});

it.each(SAMPLES)("spawn: the server is in ERROR, and its host is free, after %s", async (what) => {
  answers("spawn", RUBBISH[what]);
  await create();
  expect(await rested()).toMatchObject({ vm_state: "error", host: null, fault: { code: 500 } });
  await until(async () => (await host().state())?.used.instances === 0, "the claim is free");
});

it.each(SAMPLES)("destroy: it is asked for again until it is done, after %s", async (what) => {
  await create();
  await rested();
  const restore = answers("destroy", RUBBISH[what]);
  await server().remove(actor());
  await until(() => agent.calls.at(-1)?.method === "destroy", "its host was asked");
  restore();
  await until(async () => {
    await runDurableObjectAlarm(server());
    return (await show()) === null && (await host().state())?.used.instances === 0;
  }, "it is gone, and its claim with it");
});

it("what is asked at once is a failure that can be told, and not a throw", { timeout: 60_000 }, async () => {
  await create();
  await rested();
  const record = await show();
  if (!record) throw new Error("no server");
  const given = { user_data: null, keypair: null };
  const spec = guestSpec({ record, given, secrets: null, defaultZone: "nova" });
  const data = { cpu: "", machine: "", hypervisor_version: 1, disks: [], probe: null };
  const ask: Record<(typeof ASKED)[number], () => Promise<Outcome>> = {
    get_vnc_console: () => host().ask("get_vnc_console", uuid, 1, {}),
    get_console_output: () => host().ask("get_console_output", uuid, 1, { length: null }),
    get_diagnostics: () => host().ask("get_diagnostics", uuid, 1, {}),
    inject_nmi: () => host().ask("inject_nmi", uuid, 1, {}),
    cache_image: async () => host().ask("cache_image", uuid, 1, { image: specOf().image }),
    get_host_uptime: () => host().ask("get_host_uptime", uuid, 1, {}),
    open_console: () => host().ask("open_console", uuid, 1, { console: "0".repeat(64), ticket: "t" }),
    close_consoles: () => host().ask("close_consoles", uuid, 1, { code: 4411 }),
    share_console: () => host().ask("share_console", uuid, 1, { sharing: "one" }),
    list_consoles: () => host().ask("list_consoles", uuid, 1, {}),
    instance_on_disk: () => host().ask("instance_on_disk", uuid, 1, { host: "other" }),
    check_can_live_migrate_source: () => host().ask("check_can_live_migrate_source", uuid, 1, {}),
    check_can_live_migrate_destination: () =>
      host().ask("check_can_live_migrate_destination", uuid, 1, { spec, data, block_migration: true }),
    abort_live_migration: () => host().ask("abort_live_migration", uuid, 1, {}),
    force_complete_live_migration: () => host().ask("force_complete_live_migration", uuid, 1, {}),
  };
  for (const method of ASKED) {
    for (const [what, outcome] of Object.entries(RUBBISH)) {
      const restore = answers(method, outcome);
      const told = await ask[method]();
      const nothing = NOTHING.has(what) && SILENT.has(method);
      expect(told.ok, `${method}, ${what}: ${JSON.stringify(told)}`).toBe(nothing);
      if (!told.ok) expect(told.error.code, `${method}, ${what}`).toBe("Unexpected");
      restore();
    }
  }
  expect(await show()).toMatchObject({ vm_state: "active", task_state: null });
});
