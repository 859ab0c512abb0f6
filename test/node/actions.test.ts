/** POST /servers/{id}/action as clients see it: codes, bodies, versions, and what becomes of the server. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";
let edge: TestEdge;
let image: string;
/** Of the agent that every server runs under. */
let stateDir: string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_INSTANCES: "50", QUOTA_CORES: "50" });
  stateDir = (await edge.agent("one", { vcpus: 64, memory_mb: 65_536 })).stateDir;
  image = await demoImage(edge.cloud);
}, 60_000);
afterAll(() => edge.close());

const ask = (method: string, path: string, options: CallOptions = {}) => askEdge(edge, method, path, options);
const show = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body?.server;
const act = (id: string, body: unknown, options: CallOptions = {}) =>
  ask("POST", `${V}/servers/${id}/action`, { body, ...options });

async function boot(): Promise<string> {
  const id = await edge.cloud.createServer("s", image, "1");
  await edge.cloud.built(id, 20_000);
  return id;
}
const rests = (id: string, status: string) =>
  until(async () => {
    const server = await show(id);
    return server?.["OS-EXT-STS:task_state"] === null && server.status === status && server;
  }, `it is ${status}`);

async function done(id: string, body: unknown, status: string) {
  const { status: code } = await act(id, body);
  expect(code).toBe(202);
  return rests(id, status);
}

describe("a server goes through its states", () => {
  it("pause, unpause, suspend, resume, stop, start, reboot", async () => {
    const id = await boot();
    expect((await done(id, { pause: null }, "PAUSED"))["OS-EXT-STS:power_state"]).toBe(3);
    await done(id, { unpause: null }, "ACTIVE");
    expect((await done(id, { suspend: null }, "SUSPENDED"))["OS-EXT-STS:power_state"]).toBe(7);
    await done(id, { resume: null }, "ACTIVE");
    await done(id, { suspend: null }, "SUSPENDED");
    await done(id, { reboot: { type: "HARD" } }, "ACTIVE");
    await done(id, { "os-stop": null }, "SHUTOFF");
    await done(id, { "os-start": null }, "ACTIVE");
    await done(id, { reboot: { type: "SOFT" } }, "ACTIVE");
  });

  it("rescue gives a password, and unrescue ends it", async () => {
    const id = await boot();
    const rescued = await act(id, { rescue: null });
    expect(rescued.status).toBe(200);
    expect(rescued.body.adminPass).toMatch(/^\w{12}$/);
    await rests(id, "RESCUE");
    expect((await act(id, { pause: null })).body.conflictingRequest.message).toBe(
      `Cannot 'pause' instance ${id} while it is in vm_state rescued`,
    );
    await done(id, { unrescue: null }, "ACTIVE");
    const other = await act(id, { rescue: { adminPass: "mine", rescue_image_ref: image } });
    expect(other.body).toEqual({ adminPass: "mine" });
    await rests(id, "RESCUE");
    expect((await act(id, { rescue: { rescue_image_ref: NOBODY } })).status).toBe(400);
  });

  it("rescue tells its password to a guest that has a config drive, until unrescue", async () => {
    const server = { name: "s", imageRef: image, flavorRef: "1", networks: "none", config_drive: true };
    const { id, adminPass } = (await ask("POST", `${V}/servers`, { body: { server } })).body.server;
    await edge.cloud.built(id, 20_000);
    const passwords = () =>
      globSync(join(stateDir, `fake/config-drives/${id}*/openstack/latest/meta_data.json`))
        .map((path): string => JSON.parse(readFileSync(path, "utf8")).admin_pass)
        .toSorted();
    expect(passwords()).toEqual([adminPass]);
    const rescued = (await act(id, { rescue: null })).body.adminPass;
    await rests(id, "RESCUE");
    expect(passwords()).toEqual([rescued, adminPass].toSorted());
    await done(id, { unrescue: null }, "ACTIVE");
    expect(passwords()).toEqual([adminPass]);
  });

  it("rebuild changes what it is told to, and answers with the server", async () => {
    const id = await boot();
    const second = await demoImage(edge.cloud, "second");
    const asked = { imageRef: second, name: "anew", metadata: { a: "b" }, description: "d", adminPass: "p" };
    const { status, body } = await act(id, { rebuild: asked });
    expect(status).toBe(202);
    expect(body.server).toMatchObject({ id, name: "anew", status: "REBUILD", adminPass: "p", image: { id: second } });
    const rebuilt = await rests(id, "ACTIVE");
    expect(rebuilt).toMatchObject({ name: "anew", metadata: { a: "b" }, description: "d", image: { id: second } });
    await done(id, { "os-stop": null }, "SHUTOFF");
    await done(id, { rebuild: { imageRef: image } }, "SHUTOFF");
  });

  it.each([
    [{ imageRef: NOBODY }, 60, `Image ${NOBODY} could not be found.`],
    [{}, 60, "'imageRef' is a required property"],
    [{ imageRef: "x" }, 60, "imageRef"],
    [{ imageRef: NOBODY, key_name: "k" }, 53, "'key_name' was unexpected"],
    [{ imageRef: NOBODY, user_data: "aGk=" }, 56, "'user_data' was unexpected"],
    [{ imageRef: NOBODY, personality: [] }, 57, "'personality' was unexpected"],
  ])("refuses to rebuild with %j at 2.%i", async (rebuild, minor, message) => {
    const id = await boot();
    const { status, body } = await act(id, { rebuild }, { minor });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
    await ask("DELETE", `${V}/servers/${id}`);
  });

  it("reset sets a state for an admin, and for nobody else", async () => {
    const id = await boot();
    const member = await tokenOf();
    expect((await act(id, { "os-resetState": { state: "error" } }, { token: member })).status).toBe(403);
    expect((await act(id, { "os-resetState": { state: "paused" } })).status).toBe(400);
    await done(id, { "os-resetState": { state: "error" } }, "ERROR");
    await done(id, { "os-resetState": { state: "active" } }, "ACTIVE");
  });
});

describe("a guest", () => {
  it("tells what it wrote, the last lines or all, also as digits", async () => {
    const id = await boot();
    const output = async (value: object) => (await act(id, { "os-getConsoleOutput": value })).body.output as string;
    const all = await output({});
    expect(all).toContain("s");
    expect(await output({ length: -1 })).toContain(all.split("\n")[0]);
    expect((await output({ length: 1 })).length).toBeLessThan(all.length);
    expect((await output({ length: "1" })).length).toBeLessThan(all.length);
    expect((await act(id, { "os-getConsoleOutput": { length: -2 } })).status).toBe(400);
    expect((await act(id, { "os-getConsoleOutput": { lines: 1 } })).status).toBe(400);
  });

  it("tells an admin what it uses: Nova's form from 2.48 on, libvirt's names before", async () => {
    const id = await boot();
    const at = (minor: number) => ask("GET", `${V}/servers/${id}/diagnostics`, { minor });
    expect((await at(48)).body).toMatchObject({
      state: "running",
      num_cpus: 1,
      cpu_details: expect.any(Array),
      nic_details: expect.any(Array),
      disk_details: expect.any(Array),
      memory_details: { maximum: expect.any(Number) },
    });
    expect((await at(47)).body).toHaveProperty("memory");
    const member = await tokenOf();
    expect((await ask("GET", `${V}/servers/${id}/diagnostics`, { token: member })).status).toBe(403);
    await done(id, { "os-stop": null }, "SHUTOFF");
    expect((await at(48)).status).toBe(409);
  });

  it("takes a password and a crash dump", async () => {
    const id = await boot();
    expect((await act(id, { changePassword: { adminPass: "new" } })).status).toBe(202);
    expect((await act(id, { changePassword: {} })).status).toBe(400);
    expect((await act(id, { trigger_crash_dump: null })).status).toBe(202);
    expect((await act(id, { trigger_crash_dump: null }, { minor: 16 })).status).toBe(404);
    expect((await act(id, { trigger_crash_dump: {} })).status).toBe(400);
    const { body } = await ask("GET", `${V}/servers/${id}/os-instance-actions`);
    expect(body.instanceActions.map((one: { action: string }) => one.action)).toEqual([
      "trigger_crash_dump",
      "changePassword",
      "create",
    ]);
  });

  it("has no password of its own making", async () => {
    const id = await boot();
    expect((await ask("GET", `${V}/servers/${id}/os-server-password`)).body).toEqual({ password: "" });
    expect((await ask("DELETE", `${V}/servers/${id}/os-server-password`)).status).toBe(204);
  });
});

describe("moving", () => {
  const rested = (id: string) =>
    until(async () => {
      const server = await show(id);
      return server?.["OS-EXT-STS:task_state"] === null && server;
    }, "it rests");
  const moves = async (id: string) =>
    (await ask("GET", `${V}/os-migrations?instance_uuid=${id}`, { minor: 59 })).body.migrations;

  it.each([
    ["migrate", { migrate: null }, 1],
    ["resize", { resize: { flavorRef: "2" } }, 1],
    ["os-migrateLive", { "os-migrateLive": { host: null, block_migration: "auto" } }, 34],
  ])("%s is accepted, and with one host a fault that changes nothing else", async (_, body, minor) => {
    const id = await boot();
    expect((await act(id, body, { minor })).status).toBe(202);
    expect(await rested(id)).toMatchObject({ status: "ACTIVE", "OS-EXT-SRV-ATTR:host": "one" });
    expect(await moves(id)).toMatchObject([{ instance_uuid: id, status: "error", source_compute: "one" }]);
    const { instanceActions } = (await ask("GET", `${V}/servers/${id}/os-instance-actions`)).body;
    expect(instanceActions[0].message).toBe("Error");
  });

  it.each([
    ["os-migrateLive", { "os-migrateLive": { host: null, block_migration: false, disk_over_commit: false } }, 24],
    ["os-migrateLive", { "os-migrateLive": { host: null, block_migration: "auto" } }, 33],
  ])("%s told at once, up to 2.33, that it cannot be: %j at 2.%i", async (_, body, minor) => {
    const id = await boot();
    expect((await act(id, body, { minor })).status).toBe(400);
    expect(await rested(id)).toMatchObject({ status: "ACTIVE" });
    expect(await moves(id)).toMatchObject([{ status: "error" }]);
  });

  it("to a host that is not there, or is the server's own, is refused, and nothing changes", async () => {
    const id = await boot();
    const live = (host: string) => ({ "os-migrateLive": { host, block_migration: "auto" } });
    for (const [body, minor, message] of [
      [{ migrate: { host: "two" } }, 56, "Compute host two could not be found."],
      [{ migrate: { host: "one" } }, 56, "Cannot migrate to the host where the server exists."],
      [live("two"), 34, "Compute host two could not be found."],
      [live("one"), 30, `Unable to migrate instance (${id}) to current host (one).`],
    ] as const) {
      const { status, body: told } = await act(id, body, { minor });
      expect([status, told.badRequest.message]).toEqual([400, message]);
    }
    expect((await act(id, { evacuate: { host: "two" } }, { minor: 14 })).status).toBe(404);
    expect((await act(id, { evacuate: { host: "one" } }, { minor: 14 })).status).toBe(400);
    expect(await rested(id)).toMatchObject({ status: "ACTIVE", "OS-EXT-SRV-ATTR:host": "one" });
  });

  it("from a host that is down is refused, and a second one during a first", async () => {
    const down = await edge.agent("down", { vcpus: 2, memory_mb: 4096 });
    const server = { name: "s", imageRef: image, flavorRef: "1", networks: "none", availability_zone: "nova:down" };
    const { id } = (await ask("POST", `${V}/servers`, { body: { server } })).body.server;
    await edge.cloud.built(id, 20_000);
    const services = (await ask("GET", `${V}/os-services?host=down`, { minor: 60 })).body.services;
    const force = (forced_down: boolean) =>
      ask("PUT", `${V}/os-services/${services[0].id}`, { minor: 60, body: { forced_down } });
    expect((await force(true)).status).toBe(200);
    for (const body of [{ migrate: null }, { resize: { flavorRef: "2" } }]) {
      const { status, body: told } = await act(id, body);
      expect([status, told.conflictingRequest.message]).toEqual([409, "Service is unavailable at this time."]);
    }
    await down.agent.stop();
    const shared = { onSharedStorage: true };
    const changed = await act(id, { evacuate: { ...shared, adminPass: "x" } }, { minor: 13 });
    expect([changed.status, changed.body.badRequest.message]).toEqual([
      400,
      "admin password can't be changed on existing disk",
    ]);
    const untrue = await act(id, { evacuate: shared }, { minor: 13 });
    expect([untrue.status, untrue.body]).toEqual([200, { adminPass: null }]);
    expect(await rested(id)).toMatchObject({ status: "ACTIVE", "OS-EXT-SRV-ATTR:host": "down" });
    expect(await moves(id)).toMatchObject([{ migration_type: "evacuation", status: "failed" }]);
    const evacuated = await act(id, { evacuate: { onSharedStorage: false } }, { minor: 13 });
    expect([evacuated.status, evacuated.body]).toEqual([200, { adminPass: expect.stringMatching(/^\w{12}$/) }]);
    expect(await rested(id)).toMatchObject({ status: "ACTIVE", "OS-EXT-SRV-ATTR:host": "one" });
    expect(await moves(id)).toContainEqual(
      expect.objectContaining({ migration_type: "evacuation", status: "done", source_compute: "down" }),
    );
    const up = await force(false);
    expect([up.status, up.body.badRequest.message]).toEqual([
      400,
      expect.stringContaining("`done` evacuation migration records remain associated with the host"),
    ]);
  });

  it.each([
    [{ "os-migrateLive": { host: null, block_migration: "auto" } }, 24],
    [{ "os-migrateLive": { host: null } }, 25],
    [{ "os-migrateLive": { host: null, block_migration: "auto", disk_over_commit: true } }, 25],
    [{ "os-migrateLive": { host: "a/b", block_migration: "auto" } }, 25],
    [{ "os-migrateLive": { host: null, block_migration: "auto", force: true } }, 29],
    [{ evacuate: {} }, 13],
    [{ evacuate: { onSharedStorage: true } }, 14],
    [{ evacuate: { force: true } }, 28],
    [{ migrate: { node: "x" } }, 56],
    [{ resize: {} }, 1],
  ])("%j is a 400 at 2.%i", async (body, minor) => {
    expect((await act(NOBODY, body, { minor })).status).toBe(400);
  });

  it("evacuate is refused while the host is up", async () => {
    const id = await boot();
    const { status, body } = await act(id, { evacuate: {} });
    expect(status).toBe(400);
    expect(body.badRequest.message).toBe("Compute service of one is still in use.");
  });

  it("a resize must change the flavor to one that there is and that has a disk", async () => {
    const id = await boot();
    const message = async (flavorRef: string) => (await act(id, { resize: { flavorRef } })).body.badRequest?.message;
    expect(await message("1")).toBe("When resizing, instances must change flavor!");
    expect(await message("none")).toBe("Flavor none could not be found.");
    const small = { id: "small", name: "small", ram: 64, vcpus: 1, disk: 1 };
    for (const flavor of [small, { ...small, id: "less", name: "less", disk: 10 }]) {
      expect((await ask("POST", `${V}/flavors`, { body: { flavor } })).status).toBe(200);
    }
    const headers = { "content-type": "application/openstack-images-v2.1-json-patch" };
    const patch = (value: number) =>
      edge.call("PATCH", `/image/v2/images/${image}`, { headers, body: [{ op: "replace", path: "/min_ram", value }] });
    expect((await patch(128)).status).toBe(200);
    expect(await message("less")).toBe("Flavor's memory is too small for requested image.");
    expect((await patch(0)).status).toBe(200);
    await done(id, { resize: { flavorRef: "less" } }, "ACTIVE");
    const { "OS-EXT-SRV-ATTR:host": host, flavor } = await show(id);
    expect([host, flavor.disk]).toEqual(["one", 1]);
    expect((await act(id, { resize: { flavorRef: "2" } })).status).toBe(202);
    await rested(id);
    expect((await act(id, { confirmResize: null })).body.conflictingRequest.message).toBe(
      `Cannot 'confirmResize' instance ${id} while it is in vm_state active`,
    );
    expect((await act(id, { revertResize: null })).status).toBe(409);
  });

  it("is for managers; naming a host is for admins", async () => {
    const id = await boot();
    const [member, manager] = await Promise.all([tokenOf(), tokenOf({ roles: ["manager"] })]);
    expect((await act(id, { migrate: null }, { token: member })).status).toBe(403);
    expect((await act(id, { migrate: null }, { token: manager })).status).toBe(202);
    expect((await act(id, { migrate: { host: "two" } }, { token: manager, minor: 56 })).status).toBe(403);
  });
});

describe("what no host here has", () => {
  it.each([
    "addFixedIp",
    "removeFixedIp",
    "addFloatingIp",
    "removeFloatingIp",
    "addSecurityGroup",
    "injectNetworkInfo",
  ])("%s is a 501", async (key) => {
    const id = await boot();
    expect((await act(id, { [key]: {} }, { minor: 43 })).status).toBe(501);
    await ask("DELETE", `${V}/servers/${id}`);
  });

  it("resetNetwork is gone, and an RDP console was never one", async () => {
    const id = await boot();
    expect((await act(id, { resetNetwork: null })).status).toBe(410);
    expect((await act(id, { "os-getRDPConsole": { type: "rdp-html5" } }, { minor: 5 })).status).toBe(400);
    expect((await act(id, { "os-getVNCConsole": { type: "novnc" } }, { minor: 5 })).body.console.type).toBe("novnc");
    expect((await act(id, { "os-getVNCConsole": { type: "novnc" } }, { minor: 6 })).status).toBe(404);
    expect((await act(id, { "os-getSPICEConsole": { type: "spice-html5" } }, { minor: 5 })).status).toBe(400);
  });
});
