/** createImage and createBackup through a real edge and an agent: from a guest's disk to an image that boots. */
import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CallFrame, Outcome } from "../../functions/protocol/frames.ts";
import { PART_BYTES } from "../../functions/protocol/upload.ts";
import {
  ask as askEdge,
  type CallOptions,
  DEMO_PROJECT,
  demoImage,
  startTestEdge,
  type TestAgent,
  type TestEdge,
  until,
} from "../edge.ts";
import { tokenOf } from "../tokens.ts";
import { type RawHost, rawHost } from "./raw-agent.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";
/** A part and a bit. */
const DISK = randomBytes(PART_BYTES + 12_345);
const sha512 = (bytes: Uint8Array) => createHash("sha512").update(bytes).digest("hex");

let edge: TestEdge;
let agent: TestAgent;
let image: string;
let large: string;
let server: string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_METADATA_ITEMS: "2" });
  agent = await edge.agent("one", { local_gb: 5000 });
  large = await edge.cloud.createImage("large", "raw", DISK);
  image = await demoImage(edge.cloud, "base");
  server = await boot("first");
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options?: CallOptions) => askEdge(edge, method, path, options);
const show = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body.server;
const imageOf = async (id: string) => (await ask("GET", `/image/v2/images/${id}`)).body;
const act = (id: string, body: object, minor?: number) =>
  ask("POST", `${V}/servers/${id}/action`, { body, ...(minor === undefined ? {} : { minor }) });
const leftovers = () => readdirSync(join(agent.stateDir, "snapshots"));

async function boot(name: string, change: object = {}): Promise<string> {
  const body = { server: { name, imageRef: image, flavorRef: "1", networks: "none", ...change } };
  const made = await ask("POST", `${V}/servers`, { body });
  expect(made.status, JSON.stringify(made.body)).toBe(202);
  expect((await edge.cloud.built(made.body.server.id, 20_000)).status).toBe("ACTIVE");
  return made.body.server.id;
}

/** Asks for the image, and waits until the server rests again. */
async function snapshot(id: string, name: string, change: object = {}): Promise<string> {
  const made = await act(id, { createImage: { name, ...change } });
  expect(made.status, JSON.stringify(made.body)).toBe(202);
  await rests(id);
  return made.body.image_id;
}
const rests = (id: string) =>
  until(async () => (await show(id))["OS-EXT-STS:task_state"] === null, "the server rests", 60_000);

describe("createImage", () => {
  it("makes a private image of the disk, from which a server boots", async () => {
    const first = await boot("large", { imageRef: large });
    const made = await act(first, { createImage: { name: "shot", metadata: { purpose: "test" } } });
    expect([made.status, Object.keys(made.body)]).toEqual([202, ["image_id"]]);
    const id = made.body.image_id;
    expect(await imageOf(id)).toMatchObject({ name: "shot", visibility: "private" });
    await rests(first);
    expect(await imageOf(id)).toMatchObject({
      status: "active",
      owner: DEMO_PROJECT,
      disk_format: "raw",
      container_format: "bare",
      size: DISK.length,
      checksum: createHash("md5").update(DISK).digest("hex"),
      os_hash_value: sha512(DISK),
      min_disk: 1,
      base_image_ref: large,
      instance_uuid: first,
      image_type: "snapshot",
      purpose: "test",
    });
    const bytes = await edge.call("GET", `/image/v2/images/${id}/file`);
    expect(sha512(new Uint8Array(await bytes.arrayBuffer()))).toBe(sha512(DISK));
    expect(await show(first)).toMatchObject({ status: "ACTIVE" });
    expect(leftovers()).toEqual([]);
    expect(agent.logs).toContainEqual(expect.objectContaining({ event: "snapshot.uploaded", image: id, sent: 2 }));
    const second = await boot("second", { imageRef: id });
    // A snapshot of the second names what is at the root of both.
    const again = await snapshot(second, "again");
    expect(await imageOf(again)).toMatchObject({ base_image_ref: large, instance_uuid: second, purpose: "test" });
    for (const id of [first, second]) await ask("DELETE", `${V}/servers/${id}`);
  });

  it("says where the image is in a header up to 2.44", async () => {
    const made = await act(server, { createImage: { name: "old" } }, 44);
    expect([made.status, made.body]).toEqual([202, null]);
    const location = made.headers.get("location") ?? "";
    expect(location).toMatch(new RegExp(`^${edge.url}/image/v2/images/[0-9a-f-]{36}$`));
    await rests(server);
    expect(await imageOf(location.split("/").at(-1) ?? "")).toMatchObject({ status: "active" });
  });

  it("is recorded, with Nova's event", async () => {
    const { body } = await ask("GET", `${V}/servers/${server}/os-instance-actions`);
    const action = body.instanceActions.find((one: { action: string }) => one.action === "createImage");
    const one = await ask("GET", `${V}/servers/${server}/os-instance-actions/${action.request_id}`);
    expect(one.body.instanceAction.events).toMatchObject([{ event: "compute_snapshot_instance", result: "Success" }]);
  });

  it.each([
    ["no name", {}, "'name' is a required property"],
    ["a blank at the edge", { name: " x" }, "attribute name."],
    ["metadata that is no text", { name: "x", metadata: { a: 1 } }, "attribute a."],
    ["an unknown property", { name: "x", size: 1 }, "'size' was unexpected"],
    ["what is the image's own", { name: "x", metadata: { visibility: "public" } }, "Invalid image metadata"],
    ["what is nobody's to set", { name: "x", metadata: { status: "active" } }, "Invalid image metadata"],
  ])("refuses %s: 400", async (_what, body, message) => {
    const answer = await act(server, { createImage: body });
    expect([answer.status, answer.body.badRequest.message]).toEqual([400, expect.stringContaining(message)]);
  });

  it("checks the quota of metadata up to 2.38", async () => {
    const body = { createImage: { name: "x", metadata: { a: "1", b: "2", c: "3" } } };
    const refused = await act(server, body, 38);
    expect([refused.status, refused.body.forbidden.message]).toEqual([403, "Image metadata limit exceeded"]);
    expect((await act(server, body, 39)).status).toBe(202);
    await rests(server);
  });

  it("of a server that is not there is 404, and of a busy one 409, which leaves no image", async () => {
    expect((await act(NOBODY, { createImage: { name: "x" } })).status).toBe(404);
    const before = (await ask("GET", "/image/v2/images?name=busy")).body.images.length;
    const both = await Promise.all([0, 1].map(() => act(server, { createImage: { name: "busy" } })));
    expect(both.map(({ status }) => status).sort()).toEqual([202, 409]);
    const refused = both.find(({ status }) => status === 409);
    expect(refused?.body.conflictingRequest.message).toMatch(
      new RegExp(`^Cannot 'createImage' instance ${server} while it is in task_state image_`),
    );
    await rests(server);
    expect((await ask("GET", "/image/v2/images?name=busy")).body.images).toHaveLength(before + 1);
  });

  it("that fails leaves the server as it was, and no image", async () => {
    const failing = await boot("failing", { metadata: { "fake:fail": "snapshot" } });
    const id = await snapshot(failing, "never");
    expect((await ask("GET", `/image/v2/images/${id}`)).status).toBe(404);
    expect(await show(failing)).toMatchObject({ status: "ACTIVE" });
    expect(leftovers()).toEqual([]);
    await ask("DELETE", `${V}/servers/${failing}`);
  });

  it("is given up when the server is deleted, and the image with it", async () => {
    const doomed = await boot("doomed", { imageRef: large });
    const { body } = await act(doomed, { createImage: { name: "doomed" } });
    expect((await ask("DELETE", `${V}/servers/${doomed}`)).status).toBe(204);
    await until(async () => (await ask("GET", `${V}/servers/${doomed}`)).status === 404, "it is gone");
    expect((await ask("GET", `/image/v2/images/${body.image_id}`)).status).toBe(404);
    await until(() => leftovers().length === 0, "the file is gone");
  });
});

describe("createBackup", () => {
  const backup = async (name: string, rotation: number, backup_type = "daily") => {
    const made = await act(server, { createBackup: { name, backup_type, rotation } });
    expect(made.status, JSON.stringify(made.body)).toBe(202);
    await rests(server);
    return made.body?.image_id;
  };
  const names = async () =>
    (await ask("GET", "/image/v2/images?image_type=backup")).body.images
      .map((one: { name: string }) => one.name)
      .sort();

  it("keeps as many of a type as it is told, and none for 0", async () => {
    await backup("a", 2);
    const id = await backup("b", 2);
    expect(await imageOf(id)).toMatchObject({ status: "active", image_type: "backup", backup_type: "daily" });
    await backup("w", 1, "weekly");
    await backup("c", 2);
    expect(await names()).toEqual(["b", "c", "w"]);
    expect(await backup("none", 0)).toBeUndefined();
    expect(await names()).toEqual(["w"]);
  });

  it.each([
    ["no type", { name: "x", rotation: 1 }, "'backup_type' is a required property"],
    ["no rotation", { name: "x", backup_type: "daily" }, "'rotation' is a required property"],
    ["a rotation below 0", { name: "x", backup_type: "daily", rotation: -1 }, "attribute rotation."],
  ])("refuses %s: 400", async (_what, body, message) => {
    const answer = await act(server, { createBackup: body });
    expect([answer.status, answer.body.badRequest.message]).toEqual([400, expect.stringContaining(message)]);
  });
});

describe("an upload", () => {
  const file = randomBytes(PART_BYTES + 1000);
  const announced: Outcome = { ok: true, value: { disk_format: "qcow2", size: file.length, sha512: sha512(file) } };
  let raw: RawHost;
  let other: RawHost;
  let finish: (outcome: Outcome) => void;
  let asked: CallFrame[];

  beforeAll(async () => {
    [raw, other] = [await rawHost(edge, "raw"), await rawHost(edge, "other")];
    const link = await raw.link();
    asked = [];
    link.onCall = (call) => {
      asked.push(call);
      finish = (outcome) => link.send({ t: "result", call: call.id, outcome });
      if (call.method === "snapshot") return announced;
      if (call.method === "upload_snapshot") return null;
      return { ok: true, value: call.method === "destroy" ? {} : { power_state: 1 } };
    };
  });
  afterAll(() => {
    raw?.close();
    other?.close();
  });

  async function request(host: RawHost, method: string, path: string, body?: Uint8Array<ArrayBuffer>) {
    const response = await fetch(`${edge.url}/agent/v1/images/${path}`, {
      method,
      headers: { authorization: `Bearer ${await host.identity.assertion()}` },
      ...(body && { body }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  }
  /** A server on the host that the test plays, which has been asked to upload its snapshot. */
  async function begun(): Promise<{ id: string; shot: string }> {
    const id = await boot("raw", { availability_zone: "nova:raw" });
    asked.length = 0;
    const { body } = await act(id, { createImage: { name: "raw" } });
    await until(() => asked.some(({ method }) => method === "upload_snapshot"), "the upload is asked for");
    expect((await show(id))["OS-EXT-STS:task_state"]).toBe("image_uploading");
    return { id, shot: body.image_id };
  }
  async function ended(id: string): Promise<void> {
    await rests(id);
    await ask("DELETE", `${V}/servers/${id}`);
    await until(async () => (await ask("GET", `${V}/servers/${id}`)).status === 404, "it is gone");
  }

  it("is the host's that has the server, in parts of any order, each as often as it likes", async () => {
    const { id, shot } = await begun();
    const state = `${shot}/file`;
    expect((await request(other, "GET", state)).status).toBe(403);
    expect((await request(other, "PUT", `${state}/1`, file.subarray(0, PART_BYTES))).status).toBe(403);
    expect((await request(other, "POST", state)).status).toBe(403);
    expect((await request(raw, "GET", `${NOBODY}/file`)).status).toBe(404);
    const open = { active: false, part_bytes: PART_BYTES };
    expect((await request(raw, "GET", state)).body).toEqual({ ...open, parts: [] });
    expect((await request(raw, "PUT", `${state}/2`, file.subarray(PART_BYTES))).status).toBe(204);
    expect((await request(raw, "POST", state)).status).toBe(409);
    for (const [part, bytes] of [
      ["0", 1000],
      ["3", 1000],
      ["x", 1000],
      ["1", 1000],
      ["2", 1001],
    ] as const) {
      expect((await request(raw, "PUT", `${state}/${part}`, file.subarray(0, bytes))).status, part).toBe(400);
    }
    expect((await request(raw, "GET", state)).body).toEqual({ ...open, parts: [2] });
    // First with wrong bytes, then again with the right ones.
    expect((await request(raw, "PUT", `${state}/1`, new Uint8Array(PART_BYTES))).status).toBe(204);
    expect((await request(raw, "PUT", `${state}/1`, file.subarray(0, PART_BYTES))).status).toBe(204);
    const ends = await Promise.all([request(raw, "POST", state), request(raw, "POST", state)]);
    expect(ends.map(({ body }) => body)).toEqual([{ result: "active" }, { result: "active" }]);
    expect((await request(raw, "GET", state)).body).toEqual({ active: true });
    finish({ ok: true, value: {} });
    await rests(id);
    expect(await imageOf(shot)).toMatchObject({ status: "active", disk_format: "qcow2", os_hash_value: sha512(file) });
    expect((await edge.call("GET", `/image/v2/images/${shot}/file`)).status).toBe(200);
    await ended(id);
  });

  it("of other bytes than were announced is dropped, and the image with it", async () => {
    const { id, shot } = await begun();
    const wrong = Buffer.from(file);
    wrong[5] = (wrong[5] ?? 0) ^ 1;
    expect((await request(raw, "PUT", `${shot}/file/1`, wrong.subarray(0, PART_BYTES))).status).toBe(204);
    expect((await request(raw, "PUT", `${shot}/file/2`, wrong.subarray(PART_BYTES))).status).toBe(204);
    expect((await request(raw, "POST", `${shot}/file`)).body).toEqual({ result: "mismatch" });
    expect((await request(raw, "GET", `${shot}/file`)).status).toBe(404);
    // A host that says that all went well is not believed.
    finish({ ok: true, value: {} });
    await rests(id);
    expect((await ask("GET", `/image/v2/images/${shot}`)).status).toBe(404);
    await ended(id);
  });

  it("of an image that was deleted meanwhile is refused, and fails", async () => {
    const { id, shot } = await begun();
    expect((await request(raw, "PUT", `${shot}/file/1`, file.subarray(0, PART_BYTES))).status).toBe(204);
    expect((await ask("DELETE", `/image/v2/images/${shot}`)).status).toBe(204);
    expect((await request(raw, "PUT", `${shot}/file/2`, file.subarray(PART_BYTES))).status).toBe(404);
    finish({ ok: false, error: { code: "ImageUnacceptable", message: "gone" } });
    await rests(id);
    expect(await show(id)).toMatchObject({ status: "ACTIVE" });
    await ended(id);
  });
});

it("is nobody else's to see, nor to boot", async () => {
  const id = await snapshot(server, "private");
  const token = await tokenOf({ project: "e".repeat(32) });
  expect((await ask("GET", `/image/v2/images/${id}`, { token })).status).toBe(404);
  const body = { server: { name: "x", imageRef: id, flavorRef: "1", networks: "none" } };
  const refused = await ask("POST", `${V}/servers`, { body, token });
  expect([refused.status, refused.body.badRequest.message]).toEqual([400, `Image ${id} could not be found.`]);
});
