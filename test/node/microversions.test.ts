/** The last microversion before a change and the first with it, of what is not about servers (history.ts). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, DEMO_PROJECT, startTestEdge, type TestEdge } from "../edge.ts";
import { type RawHost, type RawLink, rawHost } from "./raw-agent.ts";

const V = "/compute/v2.1";
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPDlO1QHzHl6a2h9vq5tSPyMDBmWkPvVQ0sVQB4TUIAa";

let edge: TestEdge;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
});
afterAll(() => edge?.close());

const call = (method: string, path: string, minor: number, body?: unknown) => {
  const options: CallOptions = { minor, ...(body === undefined ? {} : { body }) };
  return ask(edge, method, `${V}${path}`, options);
};

/** Where something stands in an answer, and whether it does. */
const stands = (body: unknown, path: string) =>
  path.split(".").reduce<unknown>((inner, key) => Reflect.get(Object(inner), key), body) !== undefined;

describe("what is shown", () => {
  let aggregate: number;
  let group: string;
  beforeAll(async () => {
    aggregate = (await call("POST", "/os-aggregates", 1, { aggregate: { name: "edge" } })).body.aggregate.id;
    const server_group = { name: "edge", policies: ["affinity"] };
    group = (await call("POST", "/os-server-groups", 1, { server_group })).body.server_group.id;
    await call("POST", "/os-keypairs", 1, { keypair: { name: "edge", public_key: KEY } });
  });
  it.each([
    [41, () => `/os-aggregates/${aggregate}`, "aggregate.uuid"],
    [55, () => "/flavors/1", "flavor.description"],
    [61, () => "/flavors/1", "flavor.extra_specs"],
    [13, () => `/os-server-groups/${group}`, "server_group.project_id"],
    [2, () => "/os-keypairs/edge", "keypair.type"],
    [11, () => "/os-services", "services.0.forced_down"],
    [50, () => "/os-quota-class-sets/default", "quota_class_set.server_groups"],
  ])("came with 2.%i: %s", async (minor, path, where) => {
    expect(stands((await call("GET", path(), minor - 1)).body, where)).toBe(false);
    expect(stands((await call("GET", path(), minor)).body, where)).toBe(true);
  });
  it.each([
    [35, "/limits", "limits.absolute.maxSecurityGroups"],
    [35, "/limits", "limits.absolute.totalFloatingIpsUsed"],
    [38, "/limits", "limits.absolute.maxImageMeta"],
    [56, "/limits", "limits.absolute.maxPersonality"],
    [35, `/os-quota-sets/${DEMO_PROJECT}`, "quota_set.fixed_ips"],
    [56, `/os-quota-sets/${DEMO_PROJECT}`, "quota_set.injected_files"],
    [49, "/os-quota-class-sets/default", "quota_class_set.fixed_ips"],
    [56, "/os-quota-class-sets/default", "quota_class_set.injected_files"],
  ])("was last there at 2.%i: %s %s", async (minor, path, where) => {
    expect(stands((await call("GET", path, minor)).body, where)).toBe(true);
    expect(stands((await call("GET", path, minor + 1)).body, where)).toBe(false);
  });
  it("is otherwise a hypervisor's CPU from 2.28 on, and its id and a service's from 2.53 on", async () => {
    const hypervisor = async (minor: number) =>
      (await call("GET", "/os-hypervisors/detail", minor)).body.hypervisors[0];
    const text = (await hypervisor(27)).cpu_info;
    expect(JSON.parse(text)).toEqual((await hypervisor(28)).cpu_info);
    const service = async (minor: number) => (await call("GET", "/os-services", minor)).body.services[0];
    for (const one of [hypervisor, service]) {
      expect([typeof (await one(52)).id, typeof (await one(53)).id]).toEqual(["number", "string"]);
    }
  });
});

describe("what is taken", () => {
  const group = { server_group: { name: "soft", policies: ["soft-affinity"] } };
  const keyOf = (user_id: string) => ({ keypair: { name: "of another", public_key: KEY, user_id } });
  const share = { addTenantAccess: { tenant: DEMO_PROJECT } };
  const change = { flavor: { description: "x" } };
  it.each([
    [15, "POST", "/os-server-groups", group, 400, 200],
    [10, "POST", "/os-keypairs", keyOf("ann"), 400, 201],
    [7, "POST", "/flavors/1/action", share, 200, 409],
    [55, "PUT", "/flavors/1", change, 404, 200],
    [33, "GET", "/os-hypervisors?marker=none", undefined, 200, 400],
    [35, "GET", "/os-keypairs?marker=none", undefined, 200, 400],
    [40, "GET", "/os-simple-tenant-usage?marker=none", undefined, 200, 400],
    [53, "GET", "/os-hypervisors?with_servers=perhaps", undefined, 200, 400],
    [53, "GET", "/os-hypervisors/one/search", undefined, 200, 404],
    [53, "GET", "/os-hypervisors/one/servers", undefined, 200, 404],
    [11, "PUT", "/os-services/force-down", { host: "one", binary: "nova-compute", forced_down: false }, 404, 200],
    [53, "PUT", "/os-services/enable", { host: "one", binary: "nova-compute" }, 200, 400],
  ])("changed with 2.%i: %s %s %j", async (minor, method, path, body, before, since) => {
    expect((await call(method, path, minor - 1, body)).status).toBe(before);
    expect((await call(method, path, minor, body)).status).toBe(since);
  });
});

describe("2.64: a group", () => {
  it("has one policy with rules, instead of policies and metadata", async () => {
    const old = { name: "old", policies: ["anti-affinity"] };
    const late = { name: "late", policy: "anti-affinity", rules: { max_server_per_host: 2 } };
    const made = await call("POST", "/os-server-groups", 63, { server_group: old });
    expect(made.body.server_group).toMatchObject({ policies: ["anti-affinity"], metadata: {} });
    expect(made.body.server_group).not.toHaveProperty("policy");
    expect((await call("POST", "/os-server-groups", 64, { server_group: old })).status).toBe(400);
    expect((await call("POST", "/os-server-groups", 63, { server_group: late })).status).toBe(400);
    const ruled = await call("POST", "/os-server-groups", 64, { server_group: late });
    expect(ruled.body.server_group).toMatchObject({ policy: "anti-affinity", rules: { max_server_per_host: 2 } });
    expect(ruled.body.server_group).not.toHaveProperty("metadata");
    const { id } = made.body.server_group;
    expect((await call("GET", `/os-server-groups/${id}`, 64)).body.server_group).toMatchObject({ rules: {} });
  });
  it("has rules of anti-affinity alone", async () => {
    const server_group = { name: "x", policy: "affinity", rules: { max_server_per_host: 2 } };
    const refused = await call("POST", "/os-server-groups", 64, { server_group });
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      "Only anti-affinity policy supports rules.",
    ]);
  });
});

describe("2.75:", () => {
  it.each([
    "/flavors",
    "/flavors/detail",
    "/limits",
    "/os-hypervisors",
    "/os-hypervisors/detail",
    "/os-keypairs",
    `/os-quota-sets/${DEMO_PROJECT}`,
    `/os-quota-sets/${DEMO_PROJECT}/detail`,
    "/os-server-groups",
    "/os-services",
    "/os-simple-tenant-usage",
    `/os-simple-tenant-usage/${DEMO_PROJECT}`,
  ])("GET %s no longer takes what it does not know", async (path) => {
    expect((await call("GET", `${path}?other=1`, 74)).status).toBe(200);
    const refused = await call("GET", `${path}?other=1`, 75);
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      "Additional properties are not allowed ('other' was unexpected)",
    ]);
  });
  it("a flavor without swap has 0 of it, where it had an empty text", async () => {
    const swap = async (minor: number) => (await call("GET", "/flavors/1", minor)).body.flavor.swap;
    expect([await swap(74), await swap(75)]).toEqual(["", 0]);
  });
  it("a hypervisor that was asked for its servers tells them also where there are none", async () => {
    const one = async (minor: number) =>
      (await call("GET", "/os-hypervisors?with_servers=true", minor)).body.hypervisors[0];
    expect(await one(74)).not.toHaveProperty("servers");
    expect(await one(75)).toMatchObject({ servers: [] });
  });
});

describe("2.86: extra specs", () => {
  it.each([
    ["POST", "/flavors/1/os-extra_specs", { extra_specs: { "hw:cpu_policy": "sometimes" } }],
    ["PUT", "/flavors/1/os-extra_specs/hw:nothing", { "hw:nothing": "x" }],
  ])("%s %s is checked", async (method, path, body) => {
    expect((await call(method, path, 85, body)).status).toBe(200);
    const refused = await call(method, path, 86, body);
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      expect.stringMatching(/^Validation failed; .+\.$/),
    ]);
  });
});

describe("2.88: a hypervisor", () => {
  it("no longer tells its usage, and has an uptime", async () => {
    for (const path of ["", "/detail"]) {
      const { id } = (await call("GET", "/os-hypervisors", 87)).body.hypervisors[0];
      const one = async (minor: number) =>
        path === ""
          ? (await call("GET", `/os-hypervisors/${id}`, minor)).body.hypervisor
          : (await call("GET", "/os-hypervisors/detail", minor)).body.hypervisors[0];
      expect(await one(87)).toMatchObject({ vcpus: expect.any(Number), cpu_info: {} });
      expect(await one(87)).not.toHaveProperty("uptime");
      expect(Object.keys(await one(88)).sort()).toEqual([
        "host_ip",
        "hypervisor_hostname",
        "hypervisor_type",
        "hypervisor_version",
        "id",
        "service",
        "state",
        "status",
        "uptime",
      ]);
    }
  });
  it("has no statistics", async () => {
    expect((await call("GET", "/os-hypervisors/statistics", 87)).status).toBe(200);
    expect((await call("GET", "/os-hypervisors/statistics", 88)).status).toBe(404);
  });

  describe("asked for its uptime", () => {
    const UPTIME = " 10:20:30 up 1 day,  2:03,  1 user,  load average: 0.17, 0.21, 0.22\n";
    let raw: RawHost;
    let link: RawLink;
    let id: string;
    beforeAll(async () => {
      raw = await rawHost(edge, "raw");
      link = await raw.link();
      await link.welcomed();
      const { hypervisors } = (await call("GET", "/os-hypervisors", 87)).body;
      id = hypervisors.find((one: { hypervisor_hostname: string }) => one.hypervisor_hostname === "raw").id;
    });
    afterAll(() => {
      link.ws.close();
      raw.close();
    });
    const uptime = (minor: number) => call("GET", `/os-hypervisors/${id}/uptime`, minor);
    const shown = async () => (await call("GET", `/os-hypervisors/${id}`, 88)).body.hypervisor.uptime;

    it("passes on what the host says: by a path of its own before, with the rest from here on", async () => {
      link.onCall = ({ method }) => (method === "get_host_uptime" ? { ok: true, value: { uptime: UPTIME } } : null);
      const { status, body } = await uptime(87);
      expect([status, body]).toEqual([
        200,
        { hypervisor: { id, hypervisor_hostname: "raw", state: "up", status: "enabled", uptime: UPTIME } },
      ]);
      expect((await uptime(88)).status).toBe(404);
      expect(await shown()).toBe(UPTIME);
      const { hypervisors } = (await call("GET", "/os-hypervisors/detail", 88)).body;
      expect(hypervisors.find((one: { id: string }) => one.id === id).uptime).toBe(UPTIME);
    });
    it("has none to tell where the host cannot say, or is down", async () => {
      link.onCall = () => ({ ok: false, error: { code: "NotSupported", message: "no uptime(1)" } });
      expect((await uptime(87)).status).toBe(501);
      expect(await shown()).toBeNull();
      await call("PUT", `/os-services/${id}`, 87, { forced_down: true });
      const down = await uptime(87);
      expect([down.status, down.body.badRequest.message]).toEqual([
        400,
        "Compute service of raw is unavailable at this time.",
      ]);
      expect(await shown()).toBeNull();
    });
  });
});

describe("2.92: a key pair", () => {
  it("is imported, not made", async () => {
    const pair = (name: string) => ({ keypair: { name } });
    expect((await call("POST", "/os-keypairs", 91, pair("made"))).status).toBe(201);
    const refused = await call("POST", "/os-keypairs", 92, pair("not made"));
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      expect.stringContaining("'public_key' is a required property"),
    ]);
  });
  it("may have @ and . in its name", async () => {
    const keypair = { name: "ann@example.org", public_key: KEY };
    expect((await call("POST", "/os-keypairs", 91, { keypair })).status).toBe(400);
    expect((await call("POST", "/os-keypairs", 92, { keypair })).status).toBe(201);
    expect((await call("GET", "/os-keypairs/ann@example.org", 92)).body.keypair.name).toBe("ann@example.org");
  });
});
