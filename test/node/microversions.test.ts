/** The first and the last microversion of what changed after 2.61, and of every query that became strict (history.ts). */
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
    expect([refused.status, refused.body.badRequest.message]).toEqual([400, "'public_key' is a required property"]);
  });
  it("may have @ and . in its name", async () => {
    const keypair = { name: "ann@example.org", public_key: KEY };
    expect((await call("POST", "/os-keypairs", 91, { keypair })).status).toBe(400);
    expect((await call("POST", "/os-keypairs", 92, { keypair })).status).toBe(201);
    expect((await call("GET", "/os-keypairs/ann@example.org", 92)).body.keypair.name).toBe("ann@example.org");
  });
});
