/** Debian's OpenStack client, unmodified, against the edge and a fake host: what it prints is what the cloud is. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";
import {
  CLIENT,
  CLIENT_PACKAGE,
  CLIENT_TIMEOUT_MS,
  type OpenstackClient,
  openstackClient,
} from "./openstack-client.ts";
import { needs } from "./requirement.ts";

const missing = !needs("the test of OpenStack's own client", [CLIENT], CLIENT_PACKAGE);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe.skipIf(missing)("openstack", () => {
  let edge: TestEdge;
  let host: TestAgent;
  let client: OpenstackClient;
  let image: string;
  let id: string;

  beforeAll(async () => {
    edge = await startTestEdge();
    host = await edge.agent("one");
    image = await demoImage(edge.cloud, "cirros-like");
    client = openstackClient(edge.url);
  });
  afterAll(async () => {
    await edge?.close();
    client?.remove();
  });

  const openstack = (...args: string[]) => client.openstack(...args);
  const json = (...args: string[]) => client.json(...args);
  const becomes = (status: string) =>
    until(async () => {
      const { server } = await (await edge.call("GET", `/compute/v2.1/servers/${id}`)).json();
      return server.status === status && server["OS-EXT-STS:task_state"] === null;
    }, `the server is ${status}`);

  it("token issue", async () => {
    const token = await json("token", "issue");
    expect(token).toMatchObject({ project_id: expect.any(String), user_id: expect.any(String) });
    const asked = await edge.call("GET", "/compute/v2.1/servers", { token: token.id });
    expect(asked.status).toBe(200);
    expect(Date.parse(token.expires)).toBeGreaterThan(Date.now());
  });

  it("flavor list, image list", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    const flavors = await json("flavor", "list");
    expect(flavors).toContainEqual({
      ID: "1",
      Name: "m1.tiny",
      RAM: 512,
      Disk: 1,
      Ephemeral: 0,
      VCPUs: 1,
      "Is Public": true,
    });
    expect(await json("image", "list")).toEqual([{ ID: image, Name: "cirros-like", Status: "active" }]);
    expect(await json("image", "show", "cirros-like")).toMatchObject({
      id: image,
      disk_format: "raw",
      size: 1_048_576,
    });
  });

  it("server create --wait, by the names of image and flavor", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    const wanted = ["--image", "cirros-like", "--flavor", "m1.tiny", "--nic", "none", "--property", "role=web"];
    const server = await json("server", "create", ...wanted, "--wait", "web-1");
    expect(server).toMatchObject({ name: "web-1", status: "ACTIVE", "OS-EXT-STS:vm_state": "active" });
    expect(server.id).toMatch(UUID);
    id = server.id;
  });

  it("server list, server show", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    const listed = await json("server", "list");
    expect(listed).toEqual([
      { ID: id, Name: "web-1", Status: "ACTIVE", Networks: {}, Image: "cirros-like", Flavor: "m1.tiny" },
    ]);
    expect(await json("server", "show", "web-1")).toMatchObject({
      id,
      name: "web-1",
      status: "ACTIVE",
      properties: { role: "web" },
      image: `cirros-like (${image})`,
      flavor: { original_name: "m1.tiny", ram: 512 },
      "OS-EXT-SRV-ATTR:host": "one",
      "OS-EXT-STS:power_state": 1,
      addresses: {},
    });
  });

  it("server stop, start, reboot", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    expect(await openstack("server", "stop", "web-1")).toBe("");
    await becomes("SHUTOFF");
    const off = await json("server", "show", "web-1", "-c", "status", "-c", "OS-EXT-STS:power_state");
    expect(off).toEqual({ status: "SHUTOFF", "OS-EXT-STS:power_state": 4 });
    expect(await openstack("server", "start", "web-1")).toBe("");
    await becomes("ACTIVE");
    expect(await openstack("server", "reboot", "--hard", "web-1")).toBe("");
    await becomes("ACTIVE");
  });

  it.each([
    ["--os-compute-api-version", "2.61"],
    ["--os-compute-api-version", "2.1"],
  ])("console url show --novnc %s", { timeout: CLIENT_TIMEOUT_MS }, async (...version) => {
    const shown = await json(...version, "console", "url", "show", "--novnc", "web-1");
    expect(shown.type).toBe("novnc");
    const url = new URL(shown.url);
    expect([url.origin, url.pathname]).toEqual([edge.url, "/vnc_auto.html"]);
    expect(url.searchParams.get("token")).toMatch(UUID);
    expect((await fetch(url)).status).toBe(200);
  });

  it("server create --user-data --key-name --file --password", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    const file = (name: string, text: string) => {
      writeFileSync(join(client.home, name), text);
      return join(client.home, name);
    };
    await openstack("keypair", "create", "mine");
    const key = (await openstack("keypair", "show", "--public-key", "mine")).trim();
    const given = ["--user-data", file("data", "#!/bin/sh\n"), "--key-name", "mine", "--password", "pass word"];
    given.push("--file", `/etc/motd=${file("motd", "hello\n")}`);
    const wanted = ["--image", "cirros-like", "--flavor", "m1.tiny", "--nic", "none", "--config-drive", "True"];
    const made = ["server", "create", ...wanted, ...given, "--wait", "told"];
    // The last microversion that has files.
    const server = await json("--os-compute-api-version", "2.56", ...made);
    expect(server).toMatchObject({ status: "ACTIVE", config_drive: "True", key_name: "mine", adminPass: "pass word" });
    const drive = (path: string) => readFileSync(join(host.stateDir, "fake/config-drives", server.id, path), "utf8");
    expect(drive("openstack/latest/user_data")).toBe("#!/bin/sh\n");
    expect(drive("openstack/content/0000")).toBe("hello\n");
    const meta = JSON.parse(drive("openstack/latest/meta_data.json"));
    expect(meta).toMatchObject({ name: "told", admin_pass: "pass word", files: [{ path: "/etc/motd" }] });
    expect(meta.public_keys).toEqual({ mine: key });
    await openstack("server", "delete", "--wait", "told");
  });

  it("server create --swap --ephemeral", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    const size = ["--ram", "64", "--disk", "1", "--ephemeral", "2", "--swap", "1024"];
    await openstack("flavor", "create", ...size, "roomy");
    const wanted = ["--image", "cirros-like", "--flavor", "roomy", "--nic", "none"];
    const disks = ["--swap", "512", "--ephemeral", "size=1,format=ext3"];
    const server = await json("server", "create", ...wanted, ...disks, "--wait", "roomy-1");
    expect(server.status).toBe("ACTIVE");
    const printed = () => openstack("console", "log", "show", "roomy-1");
    await until(async () => (await printed()).includes("multi-user.target"), "it is up");
    expect((await printed()).match(/virtio_blk: .*/g)?.slice(1)).toEqual([
      "virtio_blk: [vdb] 1 GiB, ext3",
      "virtio_blk: [vdc] 512 MiB, swap",
    ]);
    const more = openstack("server", "create", ...wanted, "--swap", "2048", "more");
    await expect(more).rejects.toMatchObject({ stderr: expect.stringContaining("Swap drive requested is larger") });
    await openstack("server", "delete", "--wait", "roomy-1");
    await openstack("flavor", "delete", "roomy");
  });

  it("says the edge's own words when it is refused", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    await expect(openstack("server", "start", "web-1")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`Cannot 'start' instance ${id} while it is in vm_state active`),
    });
    await expect(openstack("server", "show", "no-such")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("No server with a name or ID of 'no-such' exists."),
    });
    await expect(openstack("--os-password", "wrong", "token", "issue")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("HTTP 401"),
    });
  });

  it("server delete --wait", { timeout: CLIENT_TIMEOUT_MS }, async () => {
    await openstack("server", "delete", "--wait", "web-1");
    expect(await json("server", "list")).toEqual([]);
    expect((await edge.call("GET", `/compute/v2.1/servers/${id}`)).status).toBe(404);
  });
});
