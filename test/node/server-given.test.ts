/** What POST /servers gives the guest: what is refused, what is shown to whom, and what is on its config drive. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestAgent, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const GIVEN = { metadata: { role: "web" }, user_data: Buffer.from("#!/bin/sh\n").toString("base64") };
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDbQ7VdCcKnZgE1YgWd1B1Ywq9p1Hq1n8uL5cJt3Rk4V me@home";

let edge: TestEdge;
let host: TestAgent;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge({ FORCE_CONFIG_DRIVE: "false", QUOTA_INSTANCES: "-1", QUOTA_CORES: "-1" });
  host = await edge.agent("one", { vcpus: 64 });
  image = await demoImage(edge.cloud);
  const keypair = { name: "mine", public_key: KEY };
  expect((await ask("POST", `${V}/os-keypairs`, { body: { keypair } })).status).toBe(201);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options?: CallOptions) => askEdge(edge, method, path, options);
const create = (server: object, options: CallOptions = {}) =>
  ask("POST", `${V}/servers`, {
    ...options,
    body: { server: { name: "x", imageRef: image, flavorRef: "1", networks: "none", ...server } },
  });
const shown = async (id: string, options?: CallOptions) =>
  (await ask("GET", `${V}/servers/${id}`, options)).body.server;
const drive = (id: string, path: string) => join(host.stateDir, "fake/config-drives", id, path);

/** Creates a server and waits until it is there. */
async function made(server: object, options?: CallOptions): Promise<{ id: string; adminPass?: string }> {
  const { status, body } = await create(server, options);
  expect(body).toHaveProperty("server.id");
  expect(status).toBe(202);
  await edge.cloud.built(body.server.id, 20_000);
  return body.server;
}

describe("personality (compute/api.py _check_injected_file_quota)", () => {
  const file = { path: "/a", contents: "aGk=" };
  const bytes = (count: number) => Buffer.alloc(count).toString("base64");
  it.each([
    ["too many files", Array.from({ length: 6 }, () => file), "Personality file limit exceeded"],
    ["a long path", [file, { ...file, path: "é".repeat(128) }], "Personality file path exceeds maximum 255"],
    ["a big file", [{ ...file, contents: bytes(10_241) }], "Personality file content exceeds maximum 10240"],
    ["both", [{ path: "x".repeat(256), contents: bytes(10_241) }], "Personality file path exceeds maximum 255"],
  ])("refuses %s: 403", async (_, personality, message) => {
    const { status, body } = await create({ personality }, { minor: 56 });
    expect(status).toBe(403);
    expect(body.forbidden.message).toBe(message);
  });
  it.each([
    ["no base64", [{ path: "/a", contents: "#!" }]],
    ["no path", [{ contents: "aGk=" }]],
    ["a mode", [{ ...file, mode: "0644" }]],
  ])("refuses %s: 400", async (_, personality) => {
    expect((await create({ personality }, { minor: 56 })).status).toBe(400);
  });
  it("is on the drive, up to its quotas", async () => {
    const most = { path: "/x".padEnd(255, "x"), contents: bytes(10_240) };
    const { id } = await made({ personality: [most, file, file, file, file] }, { minor: 56 });
    expect(readFileSync(drive(id, "openstack/content/0000"))).toEqual(Buffer.alloc(10_240));
    const { files } = JSON.parse(readFileSync(drive(id, "openstack/latest/meta_data.json"), "utf8"));
    expect(files).toHaveLength(5);
    expect(files[0]).toEqual({ path: most.path, content_path: "/content/0000" });
  });
});

describe("adminPass", () => {
  it("is made and told once, and is on the drive", async () => {
    const { id, adminPass } = await made({ config_drive: true });
    expect(adminPass).toMatch(/^(?=.*[2-9])(?=.*[A-HJ-NP-Z])(?=.*[a-km-z])[2-9A-HJ-NP-Za-km-z]{12}$/);
    expect(await shown(id)).not.toHaveProperty("adminPass");
    const meta = JSON.parse(readFileSync(drive(id, "openstack/latest/meta_data.json"), "utf8"));
    expect(meta.admin_pass).toBe(adminPass);
  });
  it("is the caller's, if he gives one", async () => {
    expect((await made({ adminPass: "s p,a<c'e" })).adminPass).toBe("s p,a<c'e");
  });
  it("is not told with a reservation", async () => {
    const { body } = await create({ return_reservation_id: true });
    expect(Object.keys(body)).toEqual(["reservation_id"]);
  });
});

describe("the config drive", () => {
  it("has what the request gave", async () => {
    const { id } = await made({ name: "Web 1", key_name: "mine", ...GIVEN });
    expect(await shown(id)).toMatchObject({ config_drive: "True", key_name: "mine" });
    const meta = JSON.parse(readFileSync(drive(id, "openstack/latest/meta_data.json"), "utf8"));
    expect(meta).toMatchObject({
      uuid: id,
      name: "Web 1",
      hostname: "web-1",
      meta: { role: "web" },
      public_keys: { mine: KEY },
      keys: [{ name: "mine", type: "ssh", data: KEY }],
      availability_zone: "nova",
    });
    expect(readFileSync(drive(id, "openstack/latest/user_data"), "utf8")).toBe("#!/bin/sh\n");
    expect((await ask("DELETE", `${V}/servers/${id}`)).status).toBe(204);
  });

  it.each([
    ["nothing asks for it", {}, ""],
    ["the request refuses it", { config_drive: false }, ""],
    ["the request asks for it", { config_drive: "yes" }, "True"],
    ["only it can bring user data", { config_drive: false, user_data: "aGk=" }, "True"],
    ["only it can bring a key", { key_name: "mine" }, "True"],
    ["only it can bring a password", { adminPass: "x" }, "True"],
  ])("where %s: %j is shown as '%s'", async (_, server, expected) => {
    const { id } = await made(server);
    expect((await shown(id)).config_drive).toBe(expected);
    expect(existsSync(drive(id, "openstack"))).toBe(expected === "True");
  });

  it("is there when the image says that it is mandatory", async () => {
    const picky = await demoImage(edge.cloud, "picky");
    const add = [{ op: "add", path: "/img_config_drive", value: "mandatory" }];
    const headers = { "content-type": "application/openstack-images-v2.1-json-patch" };
    expect((await ask("PATCH", `/image/v2/images/${picky}`, { headers, body: add })).status).toBe(200);
    const { id } = await made({ imageRef: picky });
    expect((await shown(id)).config_drive).toBe("True");
  });
});

describe("user_data", () => {
  const FIELD = "OS-EXT-SRV-ATTR:user_data";
  it("is shown to admins from 2.3 on, one server at a time", async () => {
    const lines = GIVEN.user_data.replace(/(.{4})/g, "$1\n");
    const { id } = await made({ user_data: lines });
    expect((await shown(id, { minor: 3 }))[FIELD]).toBe(GIVEN.user_data);
    expect(await shown(id, { minor: 2 })).not.toHaveProperty([FIELD]);
    expect(await shown(id, { token: await tokenOf() })).not.toHaveProperty([FIELD]);
    const { body } = await ask("GET", `${V}/servers/detail`);
    expect(JSON.stringify(body)).not.toContain(GIVEN.user_data);
    const { id: bare } = await made({ user_data: "" });
    expect((await shown(bare))[FIELD]).toBeNull();
  });
});

describe("accessIPv4 and accessIPv6", () => {
  it("are kept, shown and changed", async () => {
    const { id } = await made({ accessIPv4: "192.0.2.1", accessIPv6: "2001:db8::1" });
    expect(await shown(id)).toMatchObject({ accessIPv4: "192.0.2.1", accessIPv6: "2001:db8::1" });
    const { body } = await ask("PUT", `${V}/servers/${id}`, { body: { server: { accessIPv4: "192.0.2.2" } } });
    expect(body.server).toMatchObject({ accessIPv4: "192.0.2.2", accessIPv6: "2001:db8::1" });
    await ask("PUT", `${V}/servers/${id}`, { body: { server: { accessIPv4: "", accessIPv6: "" } } });
    expect(await shown(id)).toMatchObject({ accessIPv4: "", accessIPv6: "" });
    const wrong = await ask("PUT", `${V}/servers/${id}`, { body: { server: { accessIPv4: "x" } } });
    expect(wrong.status).toBe(400);
  });
});

it("tells no secret to any log", async () => {
  const secret = "very-secret-password";
  await made({ adminPass: secret, user_data: Buffer.from("very-secret-data").toString("base64") });
  const said = JSON.stringify([host.logs, edge.harness.getLogs()]);
  expect(said).toContain("call.done");
  for (const text of [secret, "very-secret-data", Buffer.from("very-secret-data").toString("base64")]) {
    expect(said).not.toContain(text);
  }
});

it("has a channel to a guest agent when its image says that it has one", async () => {
  const specOf = (id: string) => {
    const { guests } = JSON.parse(readFileSync(join(host.stateDir, "fake/guests.json"), "utf8"));
    return guests.find(({ uuid }: { uuid: string }) => uuid === id).spec;
  };
  const headers = { "content-type": "application/openstack-images-v2.1-json-patch" };
  const say = (op: string, value: string) =>
    ask("PATCH", `/image/v2/images/${image}`, { headers, body: [{ op, path: "/hw_qemu_guest_agent", value }] });
  for (const [op, value, listens] of [["add", "Yes", true] as const, ["replace", "no", undefined] as const]) {
    expect((await say(op, value)).status).toBe(200);
    const { id } = await made({});
    expect(specOf(id).image.guest_agent).toBe(listens);
  }
});
