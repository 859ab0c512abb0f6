/** Servers in the compute API, against Nova's rules: a row a rule. References are to Nova's tree. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ask as askEdge,
  type CallOptions,
  DEMO_PROJECT,
  demoImage,
  startTestEdge,
  type TestEdge,
  until,
} from "../edge.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let server: string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_INSTANCES: "4", ENABLE_INSTANCE_PASSWORD: "false" });
  await edge.agent("one");
  image = await demoImage(edge.cloud);
  server = await edge.cloud.createServer("first", image, "1");
  await edge.cloud.built(server, 20_000);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options?: CallOptions) => askEdge(edge, method, path, options);
const create = (server: object, options: CallOptions = {}) =>
  ask("POST", `${V}/servers`, {
    ...options,
    body: { server: { name: "x", imageRef: image, flavorRef: "1", ...server } },
  });

describe("GET /servers/{id} (views/servers.py)", () => {
  const shown = async (minor: number) => (await ask("GET", `${V}/servers/${server}`, { minor })).body.server;

  it("has Nova's base fields at 2.1", async () => {
    expect(await shown(1)).toMatchObject({
      id: server,
      name: "first",
      status: "ACTIVE",
      tenant_id: DEMO_PROJECT,
      metadata: {},
      hostId: expect.stringMatching(/^[0-9a-f]{56}$/),
      image: { id: image, links: [{ rel: "bookmark" }] },
      flavor: { id: "1", links: [{ rel: "bookmark" }] },
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      addresses: {},
      accessIPv4: "",
      "OS-DCF:diskConfig": "MANUAL",
      progress: 100,
      "OS-EXT-AZ:availability_zone": "nova",
      config_drive: "True",
      key_name: null,
      "OS-SRV-USG:launched_at": expect.stringMatching(/^[^Z]*\.\d{6}$/),
      "OS-SRV-USG:terminated_at": null,
      "OS-EXT-STS:task_state": null,
      "OS-EXT-STS:vm_state": "active",
      "OS-EXT-STS:power_state": 1,
      "os-extended-volumes:volumes_attached": [],
      "OS-EXT-SRV-ATTR:host": "one",
    });
  });
  it.each([
    ["OS-EXT-SRV-ATTR:reservation_id", 3],
    ["locked", 9],
    ["host_status", 16],
    ["description", 19],
    ["tags", 26],
  ])("has %s from 2.%i on", async (field, since) => {
    expect(await shown(since - 1)).not.toHaveProperty([field]);
    expect(await shown(since)).toHaveProperty([field]);
  });
  it("embeds the flavor from 2.47 on", async () => {
    expect((await shown(46)).flavor).toHaveProperty("id");
    expect((await shown(47)).flavor).toEqual({
      vcpus: 1,
      ram: 512,
      disk: 1,
      ephemeral: 0,
      swap: 0,
      original_name: "m1.tiny",
      extra_specs: {},
    });
  });
  it.each([NOBODY, "first", "%00", "x".repeat(300)])("of %j is 404", async (id) => {
    const { status, body } = await ask("GET", `${V}/servers/${encodeURIComponent(id)}`);
    expect(status).toBe(404);
    expect(body.itemNotFound.code).toBe(404);
  });
});

describe("POST /servers (schemas/servers.py)", () => {
  it.each([
    ["no name", { name: undefined }, "'name' is a required property"],
    ["an empty name", { name: "" }, "attribute name."],
    ["a blank at the edge", { name: " x" }, "attribute name."],
    ["a long name", { name: "x".repeat(256) }, "attribute name."],
    ["a control character", { name: "a\u0007b" }, "attribute name."],
    ["a name that is no string", { name: 7 }, "attribute name."],
    ["an unknown property", { nonsense: 1 }, "Additional properties are not allowed ('nonsense' was unexpected)"],
    ["no flavor", { flavorRef: undefined }, "'flavorRef' is a required property"],
    ["an unknown flavor", { flavorRef: "77" }, "Flavor 77 could not be found."],
    ["no image", { imageRef: undefined }, "Invalid imageRef provided."],
    ["an unknown image", { imageRef: NOBODY }, `Image ${NOBODY} could not be found.`],
    ["an image that is no uuid", { imageRef: "cirros" }, "attribute imageRef."],
    ["metadata that is no text", { metadata: { a: 1 } }, "attribute a."],
    ["a bad metadata key", { metadata: { "a/b": "1" } }, "attribute metadata."],
    ["a network", { networks: [{ uuid: NOBODY }] }, "no network service"],
    ["an automatic network", { networks: "auto" }, "Unable to automatically allocate"],
    ["no networks at 2.37 or later", { networks: undefined }, "'networks' is a required property"],
    ["an unknown zone", { availability_zone: "mars" }, "The requested availability zone is not available"],
    ["a key pair", { key_name: "mine" }, "Invalid key_name provided."],
    ["less than one", { min_count: 0 }, "attribute min_count."],
    ["more than the most", { min_count: 3, max_count: 2 }, "min_count must be <= max_count"],
    ["a volume", { block_device_mapping_v2: [{ source_type: "volume", uuid: NOBODY }] }, "no volume service"],
    ["user data that is no base64", { user_data: "#!/bin/sh" }, "attribute user_data."],
    ["too much user data", { user_data: "A".repeat(65_536) }, "attribute user_data."],
    ["a password that is no text", { adminPass: 7 }, "attribute adminPass."],
    ["an odd config_drive", { config_drive: "perhaps" }, "attribute config_drive."],
    ["an address that is none", { accessIPv4: "300.1.1.1" }, "attribute accessIPv4."],
    ["an address of the other kind", { accessIPv6: "192.0.2.1" }, "attribute accessIPv6."],
    ["a file", { personality: [{ path: "/a", contents: "aGk=" }] }, "'personality' was unexpected"],
    ["bad tags", { tags: ["a,b"] }, "attribute 0."],
  ])("refuses %s: 400", async (_, change, message) => {
    const { status, body } = await create({ networks: "none", ...change });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
  it.each([
    ["description", 19, "text"],
    ["tags", 52, ["a"]],
  ])("knows %s only from 2.%i on", async (field, since, value) => {
    const { status, body } = await create({ networks: "none", [field]: value }, { minor: since - 1 });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(`'${field}' was unexpected`);
  });
  it("takes the image also as the boot device, as newer clients send it", async () => {
    const device = { uuid: image, boot_index: 0, source_type: "image", destination_type: "local" };
    const { status, headers, body } = await create({ networks: "none", block_device_mapping_v2: [device] });
    expect(status).toBe(202);
    expect(headers.get("location")).toBe(`${edge.url}${V}/servers/${body.server.id}`);
    expect(body.server).toMatchObject({ "OS-DCF:diskConfig": "MANUAL", security_groups: [{ name: "default" }] });
    expect(body.server).not.toHaveProperty("adminPass");
    await edge.cloud.built(body.server.id, 20_000);
    await ask("DELETE", `${V}/servers/${body.server.id}`);
    await until(async () => (await ask("GET", `${V}/servers/${body.server.id}`)).status === 404, "it is gone");
  });
  it("makes several, numbered, as many as fit down to min_count; beyond is 403", async () => {
    const { status, body } = await create({
      networks: "none",
      min_count: 1,
      max_count: 9,
      return_reservation_id: true,
    });
    expect(status).toBe(202);
    expect(body.reservation_id).toMatch(/^r-/);
    const listed = (await ask("GET", `${V}/servers?name=^x-&sort_key=display_name&sort_dir=asc`)).body.servers;
    expect(listed.map((one: { name: string }) => one.name)).toEqual(["x-1", "x-2", "x-3"]);
    const refused = await create({ networks: "none" });
    expect(refused.status).toBe(403);
    expect(refused.body.forbidden.message).toBe(
      "Quota exceeded for instances: Requested 1, but already used 4 of 4 instances",
    );
    for (const { id } of listed) await ask("DELETE", `${V}/servers/${id}`);
    const left = async () => (await ask("GET", `${V}/servers?name=^x-`)).body.servers.length;
    await until(async () => (await left()) === 0, "they are gone");
  });
  it("puts the server on the host that an admin names, and nowhere else", async () => {
    const { body } = await create({ networks: "none", availability_zone: "nova:nowhere" });
    expect((await edge.cloud.built(body.server.id, 20_000)).status).toBe("ERROR");
    const shown = (await ask("GET", `${V}/servers/${body.server.id}`)).body.server;
    expect(shown.fault).toMatchObject({ code: 500, message: expect.stringContaining("No valid host was found.") });
    await ask("DELETE", `${V}/servers/${body.server.id}`);
    await until(async () => (await ask("GET", `${V}/servers/${body.server.id}`)).status === 404, "it is gone");
  });
});

describe("GET /servers and /servers/detail (compute/servers.py index, detail)", () => {
  const ids = async (query: string, options: CallOptions = {}) => {
    const { body } = await ask("GET", `${V}/servers?${query}`, options);
    return body.servers.map((one: { id: string }) => one.id);
  };
  it.each([
    "name=firs",
    "name=%5Efirst%24",
    "name=f.*t",
    "status=ACTIVE",
    "status=active",
    "status=ERROR&status=ACTIVE",
    "flavor=1",
    "deleted=False",
    "all_tenants=1",
    "all_tenants",
    "host=one",
    "nonsense=1",
    "limit=1",
    "not-tags=gold",
    "not-tags-any=gold,silver",
    "changes-since=2000-01-01T00:00:00Z&deleted=false",
    "vm_state=active",
    "power_state=1",
    "locked=true",
    "changes-before=2000-01-01T00:00:00Z",
    "sort_key=memory_mb",
    "sort_key=display_name&sort_key=uuid&sort_dir=asc",
  ])("%s finds it", async (query) => expect(await ids(query)).toEqual([server]));
  it.each([
    "name=xx",
    "status=SHUTOFF",
    "flavor=2",
    "limit=0",
    `image=${NOBODY}`,
    "host=two",
    "tags=gold",
    "tags-any=gold,silver",
    "changes-since=2999-01-01",
    "ip=10.",
    "vm_state=stopped",
    "reservation_id=r-x",
    "user_id=x",
  ])("%s does not", async (query) => expect(await ids(query)).toEqual([]));
  it("an unknown status finds nothing up to 2.37, and is 400 from 2.38 on", async () => {
    expect(await ids("status=nope", { minor: 37 })).toEqual([]);
    expect((await ask("GET", `${V}/servers?status=nope`, { minor: 38 })).status).toBe(400);
  });
  it.each([
    ["limit=-1", "limit"],
    ["limit=x", "limit"],
    [`marker=${NOBODY}`, `marker [${NOBODY}] not found`],
    ["sort_key=nope", "sort_key"],
    ["sort_dir=up", "sort_dir"],
    ["all_tenants=maybe", "all_tenants"],
    ["name=(", "It is no regular expression."],
    ["ip=(", "It is no regular expression."],
    ["changes-since=yesterday", "It is not a time"],
    ["config_drive=perhaps", "It is not a boolean."],
  ])("%s is 400", async (query, message) => {
    const { status, body } = await ask("GET", `${V}/servers?${query}`);
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
  it("a regular expression made to run for ever does not", async () => {
    expect(await ids(`name=${encodeURIComponent("(a+)+$b")}`)).toEqual([]);
  });
  it("an ignored sort key takes its direction with it", async () => {
    const { body } = await create({ name: "zz", networks: "none" });
    await edge.cloud.built(body.server.id, 20_000);
    const query = "sort_key=memory_mb&sort_dir=asc&sort_key=display_name&sort_dir=desc";
    expect(await ids(query)).toEqual([body.server.id, server]);
    await ask("DELETE", `${V}/servers/${body.server.id}`);
    await until(async () => (await ask("GET", `${V}/servers/${body.server.id}`)).status === 404, "it is gone");
  });
  it("pages by limit and marker, newest first, and says where the next is", async () => {
    const { body } = await create({ name: "second", networks: "none" });
    await edge.cloud.built(body.server.id, 20_000);
    const first = (await ask("GET", `${V}/servers/detail?limit=1&status=ACTIVE`)).body;
    expect(first.servers.map((one: { id: string }) => one.id)).toEqual([body.server.id]);
    const next = new URL(first.servers_links[0].href);
    expect(next.searchParams.get("status")).toBe("ACTIVE");
    const second = (await ask("GET", `${next.pathname}${next.search}`)).body;
    expect(second.servers.map((one: { id: string }) => one.id)).toEqual([server]);
    await ask("DELETE", `${V}/servers/${body.server.id}`);
    await until(async () => (await ask("GET", `${V}/servers/${body.server.id}`)).status === 404, "it is gone");
  });
});

describe("POST /servers/{id}/action", () => {
  const act = (body: unknown, options: CallOptions = {}) =>
    ask("POST", `${V}/servers/${server}/action`, { ...options, body });

  it.each([
    ["no JSON", "{", 400, "Malformed request body"],
    ["a list", "[]", 400, "Malformed request body"],
    ["nothing", {}, 400, "Malformed request body"],
    ["two actions", { "os-start": null, "os-stop": null }, 400, "Malformed request body"],
    ["an unknown action", { fly: null }, 400, "There is no such action: fly"],
    ["a property of objects", { constructor: null }, 400, "There is no such action: constructor"],
    ["a reboot of no type", { reboot: {} }, 400, "'type' is a required property"],
    ["a reboot of a wrong type", { reboot: { type: "MEDIUM" } }, 400, "attribute type."],
    ["JSON that is too deep", `{"reboot":${'{"a":'.repeat(100)}1${"}".repeat(101)}`, 400, "nested too deeply"],
  ])("refuses %s", async (_, body, status, message) => {
    const answer = await act(body);
    expect(answer.status).toBe(status);
    expect(answer.body.badRequest.message).toContain(message);
  });
  it("says why a server in the wrong state may not", async () => {
    const { status, body } = await act({ "os-start": null });
    expect(status).toBe(409);
    expect(body.conflictingRequest.message).toBe(`Cannot 'start' instance ${server} while it is in vm_state active`);
  });
  it("has os-getVNCConsole up to 2.5, and remote-consoles from 2.6 on", async () => {
    const old = await act({ "os-getVNCConsole": { type: "novnc" } }, { minor: 5 });
    expect(old.body.console).toMatchObject({ type: "novnc", url: expect.stringContaining("/vnc_auto.html?token=") });
    expect((await act({ "os-getVNCConsole": { type: "novnc" } }, { minor: 6 })).status).toBe(404);
    const remote_console = { protocol: "vnc", type: "novnc" };
    const path = `${V}/servers/${server}/remote-consoles`;
    expect((await ask("POST", path, { minor: 5, body: { remote_console } })).status).toBe(404);
    const made = await ask("POST", path, { minor: 6, body: { remote_console } });
    expect(made.status).toBe(200);
    const url = new URL(made.body.remote_console.url);
    expect(url.search).toMatch(/^\?token=[0-9a-f-]{36}&title=first%28[0-9a-f-]{36}%29$/);
  });
  it.each([
    [{ protocol: "vnc", type: "xvpvnc" }, 8, "Unavailable console type xvpvnc."],
    [{ protocol: "vnc", type: "serial" }, 8, "Invalid console type serial"],
    [{ protocol: "mks", type: "webmks" }, 8, "Unavailable console type webmks."],
    [{ protocol: "mks", type: "webmks" }, 7, "attribute protocol."],
    [{ protocol: "vnc" }, 8, "'type' is a required property"],
  ])("refuses the console %j at 2.%i", async (remote_console, minor, message) => {
    const { status, body } = await ask("POST", `${V}/servers/${server}/remote-consoles`, {
      minor,
      body: { remote_console },
    });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
});
