/** Resources of one or two operations: hosts, extensions, console tokens, external events, the audit log, os-volumes_boot. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let server: string;
let member: string;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one", { vcpus: 4, memory_mb: 4096, local_gb: 100 });
  await edge.agent("two", { vcpus: 2, memory_mb: 2048, local_gb: 20 });
  image = await demoImage(edge.cloud);
  server = await edge.cloud.createServer("first", image, "1");
  await edge.cloud.built(server, 20_000);
  member = await tokenOf();
});
afterAll(() => edge?.close());

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}${path}`, { ...options, ...(body === undefined ? {} : { body }) });

describe("os-hosts", () => {
  const of = (method: string, path = "", body?: unknown, options: CallOptions = {}) =>
    call(method, `/os-hosts${path}`, body, { minor: 42, ...options });
  const serverHost = async () => (await call("GET", `/servers/${server}`)).body.server["OS-EXT-SRV-ATTR:host"];

  it("lists those that are enabled, of a zone if told", async () => {
    const row = (host_name: string) => ({ host_name, service: "compute", zone: "nova" });
    expect((await of("GET")).body).toEqual({ hosts: [row("one"), row("two")] });
    expect((await of("GET", "?zone=nova&other=1")).body.hosts).toHaveLength(2);
    expect((await of("GET", "?zone=moon")).body.hosts).toEqual([]);
  });
  it("shows what a host has, and what each project takes of it", async () => {
    const host = await serverHost();
    const { body } = await of("GET", `/${host}`);
    const flavor = (await call("GET", "/flavors/1")).body.flavor;
    const taken = { host, cpu: flavor.vcpus, memory_mb: flavor.ram, disk_gb: flavor.disk };
    expect(body.host.map((row: { resource: object }) => row.resource)).toEqual([
      expect.objectContaining({ host, project: "(total)", cpu: expect.any(Number) }),
      { host, project: "(used_now)", cpu: flavor.vcpus, memory_mb: flavor.ram + 512, disk_gb: flavor.disk },
      { ...taken, project: "(used_max)" },
      { ...taken, project: DEMO_PROJECT },
    ]);
    const total = (await of("GET", "/one")).body.host[0].resource;
    expect(total).toEqual({ host: "one", project: "(total)", cpu: 4, memory_mb: 4096, disk_gb: 100 });
  });
  it("disables and enables a host", async () => {
    const off = await of("PUT", "/two", { status: " Disable " });
    expect([off.status, off.body]).toEqual([200, { host: "two", status: "disabled" }]);
    expect((await of("GET")).body.hosts.map((one: { host_name: string }) => one.host_name)).toEqual(["one"]);
    expect((await of("PUT", "/two", { status: "enable" })).body).toEqual({ host: "two", status: "enabled" });
    expect((await of("GET")).body.hosts).toHaveLength(2);
  });
  it.each([
    ["PUT", "/one", {}, 400],
    ["PUT", "/one", { status: "maybe" }, 400],
    ["PUT", "/one", { other: "enable" }, 400],
    ["PUT", "/one", { maintenance_mode: "enable" }, 501],
    ["PUT", "/no", { status: "enable" }, 404],
    ["GET", "/no", undefined, 404],
    ["GET", "/one/startup", undefined, 501],
    ["GET", "/one/shutdown", undefined, 501],
    ["GET", "/one/reboot", undefined, 501],
    ["GET", "/no/reboot", undefined, 404],
  ])("%s %s %j is %i", async (method, path, body, status) => {
    expect((await of(method, path, body)).status).toBe(status);
    expect((await of(method, path, body, { token: member })).status).toBe(403);
    expect((await of(method, path, body, { minor: 43 })).status).toBe(404);
  });
});

describe("extensions", () => {
  it("are listed by alias, and shown one by one", async () => {
    const { body } = await call("GET", "/extensions", undefined, { token: member });
    const aliases = body.extensions.map((one: { alias: string }) => one.alias);
    expect(aliases).toEqual([...aliases].sort());
    expect(aliases).toContain("os-simple-tenant-usage");
    expect((await call("GET", "/extensions/os-user-quotas")).body.extension).toEqual({
      alias: "os-user-quotas",
      name: "UserQuotas",
      description: "",
      links: [],
      namespace: "http://docs.openstack.org/compute/ext/fake_xml",
      updated: "2014-12-03T00:00:00Z",
    });
    expect((await call("GET", "/extensions/OS-DCF")).body.extension.name).toBe("DiskConfig");
    expect((await call("GET", "/extensions/nope")).status).toBe(404);
  });
});

describe("a console's token", () => {
  const mint = async () => {
    const body = { remote_console: { protocol: "vnc", type: "novnc" } };
    const { url } = (await call("POST", `/servers/${server}/remote-consoles`, body)).body.remote_console;
    return new URL(url).searchParams.get("token") ?? "";
  };
  it("tells an admin where the screen is, as often as he asks", async () => {
    const token = await mint();
    const host = (await call("GET", `/servers/${server}`)).body.server["OS-EXT-SRV-ATTR:host"];
    for (const minor of [31, 96]) {
      const { status, body } = await call("GET", `/os-console-auth-tokens/${token}`, undefined, { minor });
      expect([status, body.console]).toEqual([
        200,
        { instance_uuid: server, host, port: null, internal_access_path: expect.stringMatching(/^\//) },
      ]);
    }
    expect((await call("GET", `/os-console-auth-tokens/${token}`, undefined, { token: member })).status).toBe(403);
    expect((await call("GET", `/os-console-auth-tokens/${token}`, undefined, { minor: 30 })).status).toBe(400);
  });
  it("that was never made, or whose screen is gone, is not found", async () => {
    expect((await call("GET", `/os-console-auth-tokens/${NOBODY}`)).status).toBe(404);
    expect((await call("GET", `/os-console-auth-tokens/${NOBODY}`, undefined, { minor: 30 })).status).toBe(404);
    const token = await mint();
    const stop = async (key: string) => {
      await call("POST", `/servers/${server}/action`, { [key]: null });
      await edge.cloud.built(server, 20_000).catch(() => undefined);
    };
    await stop("os-stop");
    await expect
      .poll(async () => (await call("GET", `/os-console-auth-tokens/${token}`)).status, { timeout: 10_000 })
      .toBe(404);
    await stop("os-start");
  });
});

describe("external events", () => {
  let service: string;
  beforeAll(async () => {
    service = await tokenOf({ user: "neutron", project: "5".repeat(32), roles: ["service"] });
  });
  const tell = (events: object[], options: CallOptions = {}) =>
    call("POST", "/os-server-external-events", { events }, { token: service, minor: 96, ...options });
  const plugged = { name: "network-vif-plugged", tag: "port" };

  it("of a server that has a host are accepted, whichever project it is in", async () => {
    const { status, body } = await tell([{ ...plugged, server_uuid: server, status: "in-progress" }]);
    expect([status, body]).toEqual([
      200,
      { events: [{ ...plugged, server_uuid: server, status: "completed", code: 200 }] },
    ]);
  });
  it("have each a code of its own; one that fails makes the whole 207, and all of them 404", async () => {
    const event = { ...plugged, server_uuid: server };
    const { status, body } = await tell([
      event,
      { ...plugged, server_uuid: NOBODY },
      { name: "volume-extended", server_uuid: server },
      { name: "power-update", server_uuid: server, tag: "POWER_ON" },
      { name: "power-update", server_uuid: server, tag: "POWER_MAYBE" },
    ]);
    expect(status).toBe(207);
    expect(body.events.map((one: { code: number; status: string }) => [one.code, one.status])).toEqual([
      [200, "completed"],
      [404, "failed"],
      [400, "failed"],
      [200, "completed"],
      [400, "failed"],
    ]);
    const none = await tell([{ ...plugged, server_uuid: NOBODY }]);
    expect([none.status, none.body.itemNotFound.message]).toEqual([404, "No instances found for any event"]);
  });
  it("of a server that is on no host are 422", async () => {
    const nowhere = await edge.cloud.createServer("nowhere", image, "5");
    await expect
      .poll(async () => (await call("GET", `/servers/${nowhere}`)).body.server.status, { timeout: 10_000 })
      .toBe("ERROR");
    const { status, body } = await tell([
      { ...plugged, server_uuid: nowhere },
      { ...plugged, server_uuid: server },
    ]);
    expect([status, body.events[0].code, body.events[1].code]).toEqual([207, 422, 200]);
  });
  it.each([
    ["volume-extended", 50, 51],
    ["power-update", 75, 76],
    ["accelerator-request-bound", 81, 82],
    ["volume-reimaged", 92, 93],
  ])("%s came with 2.%i's next", async (name, before, since) => {
    const event = { name, server_uuid: server, tag: name === "power-update" ? "POWER_OFF" : "x" };
    expect((await tell([event], { minor: before })).status).toBe(400);
    expect((await tell([event], { minor: since })).status).toBe(200);
  });
  it.each([
    [{ events: [] }],
    [{ events: [{ name: "other", server_uuid: NOBODY }] }],
    [{ events: [{ ...plugged, server_uuid: "x" }] }],
    [{ events: [{ ...plugged, server_uuid: NOBODY, status: "done" }] }],
    [{ events: [{ ...plugged, server_uuid: NOBODY, other: 1 }] }],
    [{ events: Array.from({ length: 101 }, () => ({ ...plugged, server_uuid: NOBODY })) }],
    [{}],
  ])("malformed are 400", async (body) => {
    expect((await call("POST", "/os-server-external-events", body, { token: service })).status).toBe(400);
  });
  it("are for services and admins", async () => {
    const event = { ...plugged, server_uuid: server };
    expect((await tell([event], { token: await tokenOf({ roles: ["admin"] }) })).status).toBe(200);
    for (const role of ["manager", "member", "reader"]) {
      expect((await tell([event], { token: await tokenOf({ roles: [role] }) })).status).toBe(403);
    }
  });
});

describe("the usage audit log", () => {
  it("is of the month before, when no host has run", async () => {
    const { body } = await call("GET", "/os-instance_usage_audit_log/2026-03-05 10:20:30");
    expect(body.instance_usage_audit_log).toEqual({
      period_beginning: "2026-02-01 00:00:00",
      period_ending: "2026-03-01 00:00:00",
      num_hosts: 2,
      num_hosts_done: 0,
      num_hosts_running: 0,
      num_hosts_not_run: 2,
      hosts_not_run: ["one", "two"],
      total_instances: 0,
      total_errors: 0,
      overall_status: "0 of 2 hosts done. 0 errors.",
      log: {},
    });
    const now = (await call("GET", "/os-instance_usage_audit_log")).body.instance_usage_audit_logs;
    expect(now).toMatchObject({ period_ending: `${new Date().toISOString().slice(0, 7)}-01 00:00:00` });
    expect((await call("GET", "/os-instance_usage_audit_log/then")).status).toBe(400);
    expect((await call("GET", "/os-instance_usage_audit_log", undefined, { token: member })).status).toBe(403);
  });
});

describe("os-volumes_boot", () => {
  it("is another name of servers", async () => {
    for (const path of ["", "/detail", `/${server}`]) {
      const [other, own] = [await call("GET", `/os-volumes_boot${path}`), await call("GET", `/servers${path}`)];
      expect([other.status, other.body]).toEqual([200, own.body]);
    }
    expect((await call("POST", "/os-volumes_boot", { server: {} })).status).toBe(400);
    expect((await call("DELETE", `/os-volumes_boot/${NOBODY}`)).status).toBe(404);
  });
});

describe("os-assisted-volume-snapshots", () => {
  it("find no volume, and are for services", async () => {
    const token = await tokenOf({ roles: ["service"] });
    const body = { snapshot: { volume_id: NOBODY, create_info: { type: "qcow2" } } };
    const { status, body: answer } = await call("POST", "/os-assisted-volume-snapshots", body, { token });
    expect([status, answer.itemNotFound.message]).toEqual([404, `No volume Block Device Mapping with id ${NOBODY}.`]);
    expect((await call("POST", "/os-assisted-volume-snapshots", {}, { token })).status).toBe(400);
    expect((await call("DELETE", `/os-assisted-volume-snapshots/${NOBODY}`, undefined, { token })).status).toBe(404);
    for (const method of ["POST", "DELETE"]) {
      const path = `/os-assisted-volume-snapshots${method === "POST" ? "" : `/${NOBODY}`}`;
      expect((await call(method, path, undefined, { token: member })).status).toBe(403);
    }
  });
});
