/** Snapshots through real objects and a real bucket: failure injected at every step, every step twice, every undo twice. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SnapshotMemo } from "../../functions/conductor/context.ts";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { type Image, queuedImage } from "../../functions/image/image.ts";
import { snapshotImage } from "../../functions/image/snapshot-image.ts";
import { err } from "../../functions/result.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { type Call, ScriptedAgent, until } from "./scripted-agent.ts";
import { bring, FILE, takesSnapshots } from "./snapshot-agent.ts";
import { ADMIN, MEMBER, specOf } from "./specs.ts";

const images = env.IMAGES.getByName("default");

let agent: ScriptedAgent;
let project: string;
let uuid: string;
let count = 0;

const actor = () => ({ ...MEMBER, project_id: project, request_id: `req-${crypto.randomUUID()}` });
const server = () => env.SERVER.getByName(uuid);
const show = () => server().show(actor());

beforeEach(async () => {
  project = `snap${count}`;
  agent = takesSnapshots(await new ScriptedAgent(`snap${count++}`).link());
  const spec = specOf({ project_id: project, requested_host: agent.host });
  uuid = spec.uuid;
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server().create(actor(), spec, reserved.value.until);
  await until(async () => (await show())?.vm_state === "active", "it is built");
});
afterEach(() => {
  vi.restoreAllMocks();
  agent.unlink();
});

async function queue(backup_type?: string, change: Partial<Image> = {}): Promise<string> {
  const record = await show();
  if (!record) throw new Error("no server");
  const request = { name: "shot", metadata: {}, user_id: "u", project_id: project };
  const made = snapshotImage(record, null, { ...request, ...(backup_type === undefined ? {} : { backup_type }) });
  if (!made.ok) throw new Error("no image");
  await images.add({ ...made.value, ...change });
  return made.value.id;
}

/** Begins the flow; the image is queued by then, as the API does it. */
async function begin(flow: "create_image" | "create_backup", rotation = 1): Promise<SnapshotMemo> {
  const memo: SnapshotMemo =
    flow === "create_image"
      ? { image: await queue() }
      : { image: await queue("daily"), backup: { backup_type: "daily", rotation } };
  expect(await server().act(actor(), flow, { memo: { snapshot: memo } })).toMatchObject({ ok: true });
  return memo;
}
const rested = () =>
  until(async () => {
    const record = await show();
    return record?.task_state === null && record;
  }, "the server rests");
/** Its images, and the objects in the bucket, as the server's owner could count them. */
async function kept() {
  const mine = (await images.list()).filter(({ owner }) => owner === project);
  const objects = await Promise.all(mine.map(({ id }) => env.IMAGE_BYTES.list({ prefix: `images/${id}/` })));
  return { images: mine.map(({ status }) => status), objects: objects.flatMap((one) => one.objects).length };
}
const bytesOf = async (image: string | null) =>
  (await env.IMAGE_BYTES.list({ prefix: `images/${image}/` })).objects.length;

const CASES = (["create_image", "create_backup"] as const).flatMap((flow) =>
  (FLOWS[flow]?.steps ?? []).map(({ name }, index) => ({ flow, index, name })),
);

describe.each(CASES)("$flow, at $name", ({ flow, index }) => {
  const steps = FLOWS[flow]?.steps ?? [];
  const step = () => {
    const found = steps[index];
    if (!found) throw new Error("no step");
    return found;
  };
  /** The last step's failure is not the image's: it has all its bytes. */
  const stored = index === steps.length - 1;

  async function failedCleanly({ image }: SnapshotMemo) {
    expect(await rested()).toMatchObject({ vm_state: "active", fault: { message: "injected" } });
    expect(await kept()).toEqual(stored ? { images: ["active"], objects: 1 } : { images: [], objects: 0 });
    expect(await bytesOf(image)).toBe(stored ? 1 : 0);
  }

  it("leaves the server as it was when it fails before its work", async () => {
    vi.spyOn(step(), "run").mockResolvedValue(err({ code: 500, message: "injected" }));
    await failedCleanly(await begin(flow));
  });

  it("takes its work back when it fails after it, undoing twice", async () => {
    failAfter(step());
    undoTwice(steps);
    await failedCleanly(await begin(flow));
  });

  it("is done once, though it is run twice", async () => {
    runTwice(steps);
    const { image } = await begin(flow);
    expect(await rested()).toMatchObject({ vm_state: "active", fault: null });
    expect(await kept()).toEqual({ images: ["active"], objects: 1 });
    expect(await images.get(image ?? "")).toMatchObject({ size: FILE.size, os_hash_value: FILE.sha512 });
    for (const method of ["snapshot", "upload_snapshot"]) {
      expect(agent.calls.filter((call) => call.method === method)).toHaveLength(1);
    }
  });

  it("leaves nothing when the server is deleted there", async () => {
    const original = step().run;
    let [reached, released, late] = [false, false, false];
    vi.spyOn(step(), "run").mockImplementation(async (context, memo) => {
      reached = true;
      await until(() => released, "the test lets the step go");
      return original(context, memo).finally(() => {
        late = true;
      });
    });
    const { image } = await begin(flow);
    await until(() => reached, "the step runs");
    expect((await server().remove(actor())).ok).toBe(true);
    await until(async () => (await show()) === null, "it is deleted");
    released = true;
    await until(() => late, "the late step ran");
    expect(await images.get(image ?? "")).toEqual(stored ? expect.objectContaining({ status: "active" }) : null);
    expect(await bytesOf(image)).toBe(stored ? 1 : 0);
  });

  it("goes on by the alarm when it was cut off", async () => {
    vi.spyOn(step(), "run").mockRejectedValueOnce(new Error("the object was evicted"));
    await begin(flow);
    await until(() => runDurableObjectAlarm(server()), "the alarm is set");
    expect(await rested()).toMatchObject({ fault: null });
    expect(await kept()).toEqual({ images: ["active"], objects: 1 });
  });
});

it("goes through Nova's task states", async () => {
  const seen: (string | null)[] = [];
  const act = agent.answer;
  const note = async (call: Call) => {
    seen.push((await show())?.task_state ?? null);
    const outcome = act(call);
    if (outcome) agent.send({ t: "result", call: call.id, outcome });
  };
  agent.answer = (call) => {
    void note(call);
    return null;
  };
  await begin("create_image");
  await rested();
  await begin("create_backup");
  await rested();
  expect(seen).toEqual(["image_snapshot", "image_uploading", "image_backup", "image_uploading"]);
});

it("waits for a host that goes away in the middle of the upload, and asks it again when it is back", async () => {
  agent.answer = (call) => (call.method === "snapshot" ? { ok: true, value: FILE } : null);
  await begin("create_image");
  await until(() => agent.calls.some(({ method }) => method === "upload_snapshot"), "the upload is asked for");
  agent.unlink();
  await until(async () => !(await env.HOST.getByName(agent.host).state())?.connected, "the agent is gone");
  expect(await show()).toMatchObject({ task_state: "image_uploading" });
  agent.answer = (call) => {
    void bring(agent, call);
    return null;
  };
  await agent.link();
  expect(await rested()).toMatchObject({ fault: null });
  expect(await kept()).toEqual({ images: ["active"], objects: 1 });
});

it("removes the image when the host cannot, and says why", async () => {
  agent.answer = () => ({ ok: false, error: { code: "NotSupported", message: "no disk" } });
  await begin("create_image");
  expect(await rested()).toMatchObject({ vm_state: "active", fault: { code: 500, message: "NotSupported: no disk" } });
  expect(await kept()).toEqual({ images: [], objects: 0 });
});

it("fails when its owner deletes the image meanwhile", async () => {
  agent.answer = (call) => (call.method === "snapshot" ? null : { ok: true, value: {} });
  const { image } = await begin("create_image");
  await until(() => agent.calls.some(({ method }) => method === "snapshot"), "the snapshot is asked for");
  await images.remove(image ?? "");
  const call = agent.calls.find(({ method }) => method === "snapshot");
  agent.send({ t: "result", call: call?.id ?? "", outcome: { ok: true, value: FILE } });
  expect(await rested()).toMatchObject({ fault: { code: 404 } });
});

it("begins over a lock, and not over another task, nor for others", async () => {
  await server().lock({ ...ADMIN, project_id: project });
  agent.answer = () => null;
  expect(await server().act({ ...actor(), project_id: "other" }, "create_image")).toEqual({
    ok: false,
    error: { kind: "not_found" },
  });
  await begin("create_image");
  expect(await server().act(actor(), "create_backup")).toMatchObject({
    ok: false,
    error: { kind: "invalid_state", verb: "createBackup", attr: "task_state" },
  });
});

describe("rotation", () => {
  const active = (created_at: string, change: Partial<Image> = {}) =>
    queue("daily", { status: "active", created_at, ...change });

  it("deletes the oldest beyond those that are kept, of this server and type only", async () => {
    const old = await active("2026-01-01T00:00:00.000Z");
    const safe = await active("2026-01-02T00:00:00.000Z", { protected: true });
    const last = await active("2026-01-03T00:00:00.000Z");
    // Another project says that it has a backup of this server.
    const foreign = await active("2027-01-01T00:00:00.000Z", { owner: "elsewhere" });
    const weekly = await queue("weekly", { status: "active" });
    const { image } = await begin("create_backup", 2);
    await rested();
    const left = await Promise.all([image ?? "", last, safe, old, weekly, foreign].map((id) => images.get(id)));
    expect(left.map((one) => one !== null)).toEqual([true, true, true, false, true, true]);
  });

  it("of 0 makes no image, and deletes all", async () => {
    const old = await active("2026-01-01T00:00:00.000Z");
    const memo: SnapshotMemo = { image: null, backup: { backup_type: "daily", rotation: 0 } };
    expect(await server().act(actor(), "create_backup", { memo: { snapshot: memo } })).toMatchObject({ ok: true });
    await rested();
    expect(await images.get(old)).toBeNull();
    expect(agent.calls.map(({ method }) => method)).toEqual(["spawn"]);
  });
});

describe("an expected upload", () => {
  const expected = { ...FILE, host: "one" };
  const queued = async () => {
    const set = { name: "x", container_format: "bare" } as const;
    const image = queuedImage({ id: undefined, set, properties: {} }, project);
    await images.add(image);
    return image.id;
  };

  it("is one, however often the same is expected, and another one in its place", async () => {
    const id = await queued();
    const all = await Promise.all([0, 1, 2].map(() => images.expectUpload(id, expected)));
    expect(all).toEqual(["expected", "expected", "expected"]);
    const first = await images.pendingUpload(id);
    await images.addPart(id, first?.upload.upload_id ?? "", { number: 1, etag: "e" });
    await images.expectUpload(id, expected);
    expect((await images.pendingUpload(id))?.parts).toHaveLength(1);
    await images.expectUpload(id, { ...expected, sha512: "0".repeat(128) });
    const second = await images.pendingUpload(id);
    expect(second?.parts).toEqual([]);
    expect(second?.upload.key).not.toBe(first?.upload.key);
    expect(await images.addPart(id, first?.upload.upload_id ?? "", { number: 1, etag: "e" })).toBe(false);
  });

  it("is not for an image that is gone, nor for more than R2 takes", async () => {
    expect(await images.expectUpload(crypto.randomUUID(), expected)).toBe("gone");
    expect(await images.expectUpload(await queued(), { ...expected, size: 2 ** 40 })).toBe("too_large");
  });
});
