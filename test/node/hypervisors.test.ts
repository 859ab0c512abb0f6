/** What operators see of hosts, and say of their services (hypervisors.py, services.py, availability_zone.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostIp } from "../../agent/host-ip.ts";
import { ask, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
/** What the fake driver tells of a host of four processors. */
const CPU_INFO = {
  ...{ vendor: "Intel", model: "Nehalem", arch: "x86_64", features: ["pge", "clflush"] },
  topology: { cells: 1, sockets: 1, cores: 4, threads: 1 },
};
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let server: string;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one", { vcpus: 4, memory_mb: 8192, local_gb: 100 });
  await edge.agent("two", { vcpus: 4, memory_mb: 4096, local_gb: 100 });
  image = await demoImage(edge.cloud);
  const body = {
    server: { name: "a", imageRef: image, flavorRef: "1", networks: "none", availability_zone: "nova:one" },
  };
  server = (await ask(edge, "POST", `${V}/servers`, { body })).body.server.id;
  await edge.cloud.built(server, 20_000);
});
afterAll(() => edge?.close());

const get = (path: string, minor = 61, options: CallOptions = {}) =>
  ask(edge, "GET", `${V}${path}`, { minor, ...options });
const put = (path: string, body: object, minor = 61) => ask(edge, "PUT", `${V}${path}`, { minor, body });
const listed = async (path: string, minor = 61) => (await get(path, minor)).body.hypervisors;
const names = (rows: { hypervisor_hostname: string }[]) => rows.map((one) => one.hypervisor_hostname);

describe("hypervisors", () => {
  it("have integer ids up to 2.52, which stay, and UUIDs from 2.53 on", async () => {
    expect(await listed("/os-hypervisors", 1)).toEqual([
      { id: 1, hypervisor_hostname: "one", state: "up", status: "enabled" },
      { id: 2, hypervisor_hostname: "two", state: "up", status: "enabled" },
    ]);
    const [{ id }] = await listed("/os-hypervisors", 53);
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect((await get(`/os-hypervisors/${id}`, 53)).body.hypervisor.hypervisor_hostname).toBe("one");
    expect((await get("/os-hypervisors/1", 52)).body.hypervisor.hypervisor_hostname).toBe("one");
  });
  it("tell in detail what they have and what is taken; used memory counts the host's own", async () => {
    const [one] = await listed("/os-hypervisors/detail", 27);
    expect(one).toEqual({
      id: 1,
      hypervisor_hostname: "one",
      state: "up",
      status: "enabled",
      hypervisor_type: "fake",
      hypervisor_version: expect.any(Number),
      host_ip: hostIp() ?? "",
      service: { id: 1, host: "one", disabled_reason: null },
      cpu_info: JSON.stringify(CPU_INFO),
      vcpus: 4,
      vcpus_used: 1,
      memory_mb: 8192,
      memory_mb_used: 1024,
      free_ram_mb: 7168,
      local_gb: 100,
      local_gb_used: 1,
      free_disk_gb: 99,
      disk_available_least: 99,
      current_workload: 0,
      running_vms: 1,
    });
    expect((await listed("/os-hypervisors/detail", 28))[0].cpu_info).toEqual(CPU_INFO);
    expect((await get("/os-hypervisors/1", 28)).body.hypervisor.cpu_info).toEqual(CPU_INFO);
  });
  it("tell from 2.88 on not what they have any more, but how long they are up", async () => {
    const [one] = await listed("/os-hypervisors/detail", 88);
    expect(one).toEqual({
      ...{ id: one.id, hypervisor_hostname: "one", state: "up", status: "enabled", hypervisor_type: "fake" },
      ...{ hypervisor_version: expect.any(Number), host_ip: hostIp() ?? "", uptime: expect.stringContaining("up") },
      service: { id: one.id, host: "one", disabled_reason: null },
    });
    expect((await get(`/os-hypervisors/${one.id}`, 88)).body.hypervisor).toEqual({
      ...one,
      uptime: expect.stringContaining("up"),
    });
    expect((await get("/os-hypervisors/statistics", 88)).status).toBe(404);
  });
  it("are summed up", async () => {
    expect((await get("/os-hypervisors/statistics")).body.hypervisor_statistics).toMatchObject({
      count: 2,
      vcpus: 8,
      memory_mb: 12_288,
      running_vms: 1,
      local_gb_used: 1,
    });
  });
  it("are found by a part of the name, up to 2.52 in the path and from 2.53 on in the query", async () => {
    expect(names(await listed("/os-hypervisors/ON/search", 52))).toEqual(["one"]);
    expect(names(await listed("/os-hypervisors?hypervisor_hostname_pattern=w", 53))).toEqual(["two"]);
    expect(names(await listed("/os-hypervisors?hypervisor_hostname_pattern=w", 52))).toEqual(["one", "two"]);
    for (const path of ["/os-hypervisors/three/search", "/os-hypervisors/three/servers"]) {
      const { status, body } = await get(path, 52);
      expect([status, body.itemNotFound.message]).toEqual([404, "No hypervisor matching 'three' could be found."]);
    }
  });
  it("list their servers when asked to; before 2.75 one without any has no such field", async () => {
    const servers = [{ name: `instance-${server}`, uuid: server }];
    expect((await listed("/os-hypervisors/o/servers", 52)).map((one: { servers?: [] }) => one.servers)).toEqual([
      servers,
      undefined,
    ]);
    const [one, two] = await listed("/os-hypervisors?with_servers=true", 53);
    expect(one.servers).toEqual(servers);
    expect(two).not.toHaveProperty("servers");
    expect(await listed("/os-hypervisors", 53)).toEqual(expect.not.arrayContaining([{ servers }]));
  });
  it("page from 2.33 on", async () => {
    const first = (await get("/os-hypervisors?limit=1", 33)).body;
    expect(names(first.hypervisors)).toEqual(["one"]);
    const next = new URL(first.hypervisors_links[0].href);
    expect(names((await ask(edge, "GET", `${next.pathname}${next.search}`, { minor: 33 })).body.hypervisors)).toEqual([
      "two",
    ]);
    expect(await listed("/os-hypervisors?limit=1&marker=9", 32)).toHaveLength(2);
  });
  it.each([
    ["/os-hypervisors?limit=x", 33, 400, "limit"],
    ["/os-hypervisors?marker=9", 33, 400, "marker [9] not found"],
    ["/os-hypervisors?with_servers=perhaps", 53, 400, "with_servers"],
    ["/os-hypervisors?limit=1&hypervisor_hostname_pattern=o", 53, 400, "Paging over hypervisors"],
    ["/os-hypervisors/7", 52, 404, "Hypervisor with ID '7' could not be found."],
    ["/os-hypervisors/one", 52, 404, "Hypervisor with ID 'one' could not be found."],
    ["/os-hypervisors/1", 53, 400, "Invalid uuid 1"],
    [`/os-hypervisors/${NOBODY}`, 53, 404, `Hypervisor with ID '${NOBODY}' could not be found.`],
    ["/os-hypervisors/one/search", 53, 404, "The resource could not be found."],
    ["/os-hypervisors/one/servers", 53, 404, "The resource could not be found."],
  ])("%s at 2.%i is %i: %s", async (path, minor, status, words) => {
    const answer = await get(path, minor);
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.body)).toContain(words);
  });
});

describe("services", () => {
  const service = async (host: string, minor = 61) =>
    (await get(`/os-services?host=${host}&binary=nova-compute`, minor)).body.services[0];

  it("are one a host, by id up to 2.52 and by UUID from 2.53 on", async () => {
    expect((await get("/os-services", 10)).body.services).toEqual(
      ["one", "two"].map((host, i) => ({
        id: i + 1,
        binary: "nova-compute",
        host,
        zone: "nova",
        status: "enabled",
        state: "up",
        updated_at: expect.stringMatching(/^[^Z]*\.\d{6}$/),
        disabled_reason: null,
      })),
    );
    expect(await service("one", 11)).toMatchObject({ id: 1, forced_down: false });
    expect((await service("one", 53)).id).toMatch(/^[0-9a-f-]{36}$/);
    expect((await get("/os-services?binary=nova-scheduler")).body.services).toEqual([]);
  });
  it("are turned off and on, and the scheduler keeps to it", async () => {
    const { id } = await service("two");
    const off = await put(`/os-services/${id}`, { status: "disabled", disabled_reason: "a new disk" });
    expect(off).toMatchObject({
      status: 200,
      body: { service: { id, host: "two", status: "disabled", disabled_reason: "a new disk", state: "up" } },
    });
    expect((await get("/os-hypervisors/2", 52)).body.hypervisor).toMatchObject({
      status: "disabled",
      service: { disabled_reason: "a new disk" },
    });
    const body = { server: { name: "b", imageRef: image, flavorRef: "3", networks: "none" } };
    // Only one of the two may be chosen, and it has no room for both.
    const made = [];
    for (let i = 0; i < 2; i++) made.push((await ask(edge, "POST", `${V}/servers`, { body })).body.server.id);
    const states = await Promise.all(made.map((one) => edge.cloud.built(one, 20_000)));
    expect(states.map(({ status }) => status).sort()).toEqual(["ACTIVE", "ERROR"]);
    for (const one of made) await ask(edge, "DELETE", `${V}/servers/${one}`);
    const on = await put(`/os-services/${id}`, { status: "enabled" });
    expect(on.body.service).toMatchObject({ status: "enabled", disabled_reason: null });
  });
  it("are fenced: down whatever the link says, until they are let back", async () => {
    const { id } = await service("one");
    expect((await put(`/os-services/${id}`, { forced_down: true })).body.service).toMatchObject({
      state: "down",
      forced_down: true,
    });
    expect((await get(`/servers/${server}`)).body.server.host_status).toBe("DOWN");
    await put(`/os-services/${id}`, { forced_down: false });
    expect(await service("one")).toMatchObject({ state: "up", forced_down: false });
  });
  it("are named by host and binary up to 2.52", async () => {
    const of = { host: "two", binary: "nova-compute" };
    expect((await put("/os-services/disable", of, 1)).body).toEqual({ service: { ...of, status: "disabled" } });
    expect((await put("/os-services/disable-log-reason", { ...of, disabled_reason: "why" }, 1)).body).toEqual({
      service: { ...of, status: "disabled", disabled_reason: "why" },
    });
    expect((await put("/os-services/force-down", { ...of, forced_down: "true" }, 11)).body).toEqual({
      service: { ...of, forced_down: true },
    });
    expect(await service("two", 11)).toMatchObject({ status: "disabled", disabled_reason: "why", state: "down" });
    await put("/os-services/force-down", { ...of, forced_down: false }, 52);
    expect((await put("/os-services/enable", of, 52)).body).toEqual({ service: { ...of, status: "enabled" } });
  });
  it.each([
    ["PUT", "/os-services/{}", {}, 53, 400, "No updates were requested."],
    ["PUT", "/os-services/{}", { disabled_reason: "x" }, 53, 400, "No updates were requested."],
    [
      "PUT",
      "/os-services/{}",
      { status: "enabled", disabled_reason: "x" },
      53,
      400,
      "with status 'enabled' is invalid",
    ],
    ["PUT", "/os-services/{}", { status: "off" }, 53, 400, "status"],
    ["PUT", "/os-services/{}", { other: 1 }, 53, 400, "'other' was unexpected"],
    ["PUT", `/os-services/${NOBODY}`, { status: "enabled" }, 53, 404, `Service ${NOBODY} could not be found.`],
    ["PUT", "/os-services/enable", { status: "enabled" }, 53, 400, "Invalid uuid enable"],
    ["PUT", "/os-services/fly", {}, 52, 404, "Unknown action"],
    [
      "PUT",
      "/os-services/force-down",
      { host: "one", binary: "nova-compute", forced_down: true },
      10,
      404,
      "Unknown action",
    ],
    [
      "PUT",
      "/os-services/enable",
      { host: "no", binary: "nova-compute" },
      52,
      404,
      "Could not find binary nova-compute on host no.",
    ],
    ["PUT", "/os-services/disable-log-reason", { host: "one", binary: "nova-compute" }, 52, 400, "disabled_reason"],
    ["DELETE", "/os-services/x", undefined, 52, 400, "Invalid id x"],
    ["DELETE", "/os-services/99", undefined, 52, 404, "Service 99 could not be found."],
    ["DELETE", "/os-services/1", undefined, 52, 409, "Unable to delete compute service that is hosting instances."],
  ] as const)("%s %s %j at 2.%i is %i: %s", async (method, path, body, minor, status, words) => {
    const { id } = await service("one", 53);
    const answer = await ask(edge, method, `${V}${path.replace("{}", id)}`, { body, minor });
    expect([answer.status, JSON.stringify(answer.body)]).toEqual([status, expect.stringContaining(words)]);
  });
});

describe("availability zones", () => {
  it("hold the hosts; detail names them", async () => {
    expect((await get("/os-availability-zone")).body.availabilityZoneInfo).toEqual([
      { zoneName: "nova", zoneState: { available: true }, hosts: null },
    ]);
    const state = { available: true, active: true, updated_at: expect.any(String) };
    expect((await get("/os-availability-zone/detail")).body.availabilityZoneInfo).toEqual([
      {
        zoneName: "nova",
        zoneState: { available: true },
        hosts: { one: { "nova-compute": state }, two: { "nova-compute": state } },
      },
    ]);
  });
});

it("is for admins, but for the plain list of zones", async () => {
  const token = await tokenOf();
  for (const path of ["/os-hypervisors", "/os-hypervisors/detail", "/os-services", "/os-availability-zone/detail"]) {
    const { status, body } = await get(path, 61, { token });
    expect([status, body.forbidden.message]).toEqual([403, expect.stringContaining("Policy doesn't allow")]);
  }
  expect((await get("/os-availability-zone", 61, { token })).status).toBe(200);
});

it("a service that is deleted takes its host away, and the agent with it", async () => {
  await edge.agent("three");
  const third = async () => (await get("/os-services?host=three")).body.services;
  const [{ id }] = await until(async () => ((await third()).length > 0 ? third() : null), "it is listed");
  expect((await ask(edge, "DELETE", `${V}/os-services/${id}`)).status).toBe(204);
  expect(await third()).toEqual([]);
  expect(names(await listed("/os-hypervisors"))).toEqual(["one", "two"]);
  expect((await ask(edge, "DELETE", `${V}/os-services/${id}`)).status).toBe(404);
});
