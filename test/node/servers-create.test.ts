/** What POST and PUT of servers take since when, where a server is put, and what is shown of it (nova/api/openstack/compute/servers.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";
const LAST = 96;

let edge: TestEdge;
let image: string;
let server: string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_INSTANCES: "-1", QUOTA_CORES: "-1", QUOTA_RAM: "-1" });
  await edge.agent("one");
  await edge.agent("two");
  image = await demoImage(edge.cloud);
  const { body } = await create({ name: "first", hostname: "inside" });
  server = body.server.id;
  await edge.cloud.built(server, 20_000);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: LAST, ...options });
const create = (change: object, options: CallOptions = {}, hints: object = {}) =>
  ask("POST", `${V}/servers`, {
    ...options,
    body: { server: { name: "x", imageRef: image, flavorRef: "1", networks: "none", ...change }, ...hints },
  });
const show = async (id: string, minor = LAST) => (await ask("GET", `${V}/servers/${id}`, { minor })).body.server;
const built = async (answer: Awaited<ReturnType<typeof create>>) => {
  expect(answer).toMatchObject({ status: 202 });
  await edge.cloud.built(answer.body.server.id, 20_000);
  return show(answer.body.server.id);
};

describe("a property of POST", () => {
  it.each([
    ["description", 19, "text"],
    ["tags", 52, ["a"]],
    ["trusted_image_certificates", 63, null],
    ["host", 74, "one"],
    ["hypervisor_hostname", 74, "one"],
    ["hostname", 90, "web-1"],
  ])("%s is unknown before 2.%i, and taken from then on", async (field, since, value) => {
    const before = await create({ [field]: value }, { minor: since - 1 });
    expect(before.status).toBe(400);
    expect(before.body.badRequest.message).toContain(`'${field}' was unexpected`);
    const after = await create({ [field]: value, name: "" }, { minor: since });
    expect(after.body.badRequest.message).toContain("attribute name.");
  });
  it("personality is unknown after 2.56", async () => {
    const personality = [{ path: "/a", contents: "aGk=" }];
    expect((await create({ personality, name: "" }, { minor: 56 })).body.badRequest.message).toContain(
      "attribute name.",
    );
    const { body } = await create({ personality }, { minor: 57 });
    expect(body.badRequest.message).toContain("'personality' was unexpected");
  });
  it("networks may be left out up to 2.36", async () => {
    const networks = undefined;
    expect((await create({ networks, name: "" }, { minor: 36 })).body.badRequest.message).toContain("attribute name.");
    expect((await create({ networks }, { minor: 37 })).body.badRequest.message).toContain(
      "'networks' is a required property",
    );
  });
  it("volume_type of a device came with 2.67", async () => {
    const block_device_mapping_v2 = [{ uuid: image, source_type: "image", boot_index: 0, volume_type: "fast" }];
    const { body } = await create({ block_device_mapping_v2 }, { minor: 66 });
    expect(body.badRequest.message).toContain("'volume_type' was unexpected");
    expect((await create({ block_device_mapping_v2, name: "" }, { minor: 67 })).body.badRequest.message).toContain(
      "attribute name.",
    );
  });
  it.each([
    ["a host name that ends in a hyphen", 90, { hostname: "web-" }, "attribute hostname."],
    ["a host name of one letter", 93, { hostname: "w" }, "attribute hostname."],
    ["a domain before 2.94", 93, { hostname: "web.example.org" }, "attribute hostname."],
    ["a host name with a blank", LAST, { hostname: "a b" }, "attribute hostname."],
    ["one host name for many", LAST, { hostname: "web", max_count: 2 }, "Unable to allocate a single hostname"],
    ["no certificates", LAST, { trusted_image_certificates: [] }, "attribute trusted_image_certificates."],
    ["a certificate twice", LAST, { trusted_image_certificates: ["a", "a"] }, "They are not unique."],
    ["a certificate, as no image has a signature", LAST, { trusted_image_certificates: ["a"] }, "cannot be verified"],
    ["a host that is none", LAST, { host: "a b" }, "attribute host."],
    ["an unknown host", LAST, { host: "nowhere" }, "Compute host nowhere could not be found."],
    ["an unknown node", LAST, { hypervisor_hostname: "nowhere" }, "Compute host nowhere could not be found."],
    ["a host with another's node", LAST, { host: "one", hypervisor_hostname: "two" }, "Compute host one could not"],
    ["both ways to a host", LAST, { host: "one", availability_zone: "nova:one" }, "are mutually exclusive."],
    ["a zone of four parts", LAST, { availability_zone: "a:b:c:d" }, "Unable to parse availability_zone"],
    ["a network that is no uuid", LAST, { networks: [{ uuid: "lan" }] }, "attribute uuid."],
    ["a network of no such property", LAST, { networks: [{ net: "lan" }] }, "'net' was unexpected"],
    ["a device of no such property", LAST, { block_device_mapping_v2: [{ disk: 1 }] }, "'disk' was unexpected"],
  ])("refuses %s: 400", async (_, minor, change, message) => {
    const { status, body } = await create(change, { minor });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
  it.each([
    ["group", "web"],
    ["same_host", ["x"]],
    ["different_host", 7],
    ["query", 7],
    ["cidr", "10.0.0.0/8"],
    ["build_near_host_ip", "near"],
  ])("refuses the hint %s of a wrong form", async (hint, value) => {
    for (const key of ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"]) {
      const { status, body } = await create({}, {}, { [key]: { [hint]: value } });
      expect(status).toBe(400);
      expect(body.badRequest.message).toContain(`attribute ${Array.isArray(value) ? 0 : hint}.`);
    }
  });
  it("refuses hints that are too long for a record", async () => {
    const { status, body } = await create({}, {}, { "os:scheduler_hints": { mine: "x".repeat(8192) } });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain("They are too long.");
  });
  it("takes hints that it knows, and those that it does not", async () => {
    const hints = { same_host: NOBODY, query: ["=", "$free_ram_mb", 1], mine: 7, cidr: "/24" };
    const { status } = await create({}, {}, { "os:scheduler_hints": { ...hints, query: '["=", "$free_ram_mb", 1]' } });
    expect(status).toBe(202);
  });
});

describe("where a server is put", () => {
  it.each(["one", "two"])("on the destination %s, by host or by node", async (name) => {
    for (const change of [{ host: name }, { hypervisor_hostname: name }, { host: name, hypervisor_hostname: name }]) {
      expect(await built(await create(change))).toMatchObject({ "OS-EXT-SRV-ATTR:host": name, status: "ACTIVE" });
    }
  });
  it("by force on a host or its node", async () => {
    for (const zone of ["nova:two", "nova:two:two", "nova::two", ":two"]) {
      const shown = await built(await create({ availability_zone: zone }));
      expect(shown).toMatchObject({ "OS-EXT-SRV-ATTR:host": "two" });
      expect(shown.pinned_availability_zone).toBe(zone.startsWith("nova") ? "nova" : null);
    }
  });
  it("a disabled host is no valid one, not even by force", async () => {
    const services = (await ask("GET", `${V}/os-services?host=two`)).body.services;
    const path = `${V}/os-services/${services[0].id}`;
    await ask("PUT", path, { body: { status: "disabled" } });
    for (const place of [{ host: "two" }, { availability_zone: "nova:two" }]) {
      const message = expect.stringContaining("No valid host");
      const details = expect.stringContaining("(two: its service is disabled)");
      expect(await built(await create(place))).toMatchObject({ status: "ERROR", fault: { message, details } });
    }
    await ask("PUT", path, { body: { status: "enabled" } });
  });
});

describe("GET /servers/{id}", () => {
  it.each([
    ["OS-EXT-SRV-ATTR:hostname", 3],
    ["OS-EXT-SRV-ATTR:user_data", 3],
    ["locked", 9],
    ["host_status", 16],
    ["description", 19],
    ["tags", 26],
    ["trusted_image_certificates", 63],
    ["server_groups", 71],
    ["locked_reason", 73],
    ["pinned_availability_zone", 96],
  ])("has %s from 2.%i on", async (field, since) => {
    expect(await show(server, since - 1)).not.toHaveProperty([field]);
    expect(await show(server, since)).toHaveProperty([field]);
  });
  it("links the flavor up to 2.46, and embeds it from 2.47 on", async () => {
    expect((await show(server, 46)).flavor).toMatchObject({ id: "1" });
    expect((await show(server, 47)).flavor).toMatchObject({ original_name: "m1.tiny", swap: 0, extra_specs: {} });
  });
  it("names the server's group while there is one, and not in lists", async () => {
    const group = await ask("POST", `${V}/os-server-groups`, {
      body: { server_group: { name: "g", policy: "affinity" } },
      minor: 64,
    });
    const id = group.body.server_group?.id;
    const member = await built(await create({}, {}, { "os:scheduler_hints": { group: id } }));
    expect(member.server_groups).toEqual([id]);
    const listed = (await ask("GET", `${V}/servers/detail?uuid=${member.id}`)).body.servers;
    expect(listed).toMatchObject([{ id: member.id, locked_reason: null }]);
    expect(listed[0]).not.toHaveProperty("server_groups");
    await ask("DELETE", `${V}/os-server-groups/${id}`);
    expect((await show(member.id)).server_groups).toEqual([]);
  });
  it("tells topology from 2.78 on: none", async () => {
    const path = `${V}/servers/${server}/topology`;
    expect((await ask("GET", path, { minor: 77 })).status).toBe(404);
    expect((await ask("GET", path, { minor: 78 })).body).toEqual({ nodes: [], pagesize_kb: null });
    expect((await ask("GET", `${V}/servers/${NOBODY}/topology`, { minor: 78 })).status).toBe(404);
  });
});

describe("PUT /servers/{id}", () => {
  const put = (change: object, minor = LAST) =>
    ask("PUT", `${V}/servers/${server}`, { minor, body: { server: change } });

  it("shows the core up to 2.74, and all from 2.75 on", async () => {
    const core = (await put({ name: "first" }, 74)).body.server;
    expect(core).toMatchObject({ name: "first", locked: false, server_groups: [], locked_reason: null });
    for (const field of ["config_drive", "key_name", "host_status", "OS-EXT-STS:vm_state", "OS-EXT-SRV-ATTR:host"]) {
      expect(core).not.toHaveProperty([field]);
    }
    const { updated, ...whole } = (await put({ name: "first" }, 75)).body.server;
    expect(await show(server, 75)).toMatchObject(whole);
    expect(whole).toMatchObject({ "OS-EXT-SRV-ATTR:host": expect.any(String), host_status: "UP", server_groups: [] });
  });
  it("takes a host name from 2.90 on, with a domain from 2.94 on", async () => {
    expect((await put({ hostname: "new" }, 89)).body.badRequest.message).toContain("'hostname' was unexpected");
    expect((await put({ hostname: "new" }, 90)).body.server["OS-EXT-SRV-ATTR:hostname"]).toBe("new");
    expect((await put({ hostname: "new.example.org" }, 93)).status).toBe(400);
    expect((await put({ hostname: "new.example.org" }, 94)).status).toBe(200);
    expect((await show(server, 90))["OS-EXT-SRV-ATTR:hostname"]).toBe("new.example.org");
  });
  it.each([{ name: " x" }, { name: "" }, { nonsense: 1 }, { description: "a\u0007" }])("refuses %j", async (change) => {
    expect((await put(change)).status).toBe(400);
  });
});

it("a deleted server is gone from its URL at once when its host has dropped it", async () => {
  const { body } = await create({ name: "short" });
  await edge.cloud.built(body.server.id, 20_000);
  expect((await ask("DELETE", `${V}/servers/${body.server.id}`)).status).toBe(204);
  await until(async () => (await ask("GET", `${V}/servers/${body.server.id}`)).status === 404, "it is gone");
});
