/** Debian's OpenStack client, unmodified: what an operator and a user keep registers of, and what it prints of them. */
import { execFile } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_PROJECT, startTestEdge, type TestEdge } from "../edge.ts";
import {
  CLIENT,
  CLIENT_PACKAGE,
  CLIENT_TIMEOUT_MS,
  type OpenstackClient,
  openstackClient,
} from "./openstack-client.ts";
import { needs } from "./requirement.ts";

const missing = !needs("the test of OpenStack's own client", [CLIENT], CLIENT_PACKAGE);
const run = promisify(execFile);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe.skipIf(missing)("openstack", { timeout: 2 * CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let client: OpenstackClient;

  beforeAll(async () => {
    edge = await startTestEdge();
    for (const host of ["one", "two"]) await edge.agent(host, { vcpus: 4, memory_mb: 4096, local_gb: 100 });
    client = openstackClient(edge.url);
  });
  afterAll(async () => {
    await edge?.close();
    client?.remove();
  });

  const openstack = (...args: string[]) => client.openstack(...args);
  const json = (...args: string[]) => client.json(...args);

  it("hypervisor list, show, stats show", async () => {
    expect(await json("hypervisor", "list")).toEqual(
      ["one", "two"].map((name) => ({
        ID: expect.stringMatching(UUID),
        "Hypervisor Hostname": name,
        "Hypervisor Type": "fake",
        "Host IP": "",
        State: "up",
      })),
    );
    expect(await json("hypervisor", "show", "one")).toMatchObject({
      hypervisor_hostname: "one",
      vcpus: 4,
      memory_mb: 4096,
      free_disk_gb: 100,
      status: "enabled",
      service_host: "one",
    });
    expect(await json("hypervisor", "stats", "show")).toMatchObject({ count: 2, vcpus: 8, memory_mb: 8192 });
  });

  it("compute service list, set; availability zone list", async () => {
    await openstack("compute", "service", "set", "--disable", "--disable-reason", "a disk", "two", "nova-compute");
    const listed = await json("compute", "service", "list", "--long");
    expect(
      listed.map((one: Record<string, unknown>) => [one.Host, one.Status, one.State, one["Disabled Reason"]]),
    ).toEqual([
      ["one", "enabled", "up", null],
      ["two", "disabled", "up", "a disk"],
    ]);
    await openstack("compute", "service", "set", "--enable", "two", "nova-compute");
    await openstack("compute", "service", "set", "--down", "two", "nova-compute");
    expect((await json("compute", "service", "list", "--host", "two"))[0]).toMatchObject({
      Status: "enabled",
      State: "down",
    });
    await openstack("compute", "service", "set", "--up", "two", "nova-compute");
    expect(await json("availability", "zone", "list", "--compute")).toEqual([
      { "Zone Name": "nova", "Zone Status": "available" },
    ]);
  });

  it("flavor create, set, show, list, unset, delete", async () => {
    const wanted = ["--ram", "256", "--vcpus", "1", "--disk", "1", "--property", "a=b", "--description", "small"];
    const made = await json("flavor", "create", ...wanted, "--private", "mini");
    expect(made).toMatchObject({ name: "mini", ram: 256, properties: { a: "b" }, "os-flavor-access:is_public": false });
    await openstack("flavor", "set", "--property", "c=d", "--description", "smaller", "mini");
    expect(await json("flavor", "show", "mini")).toMatchObject({
      id: made.id,
      description: "smaller",
      properties: { a: "b", c: "d" },
    });
    await openstack("flavor", "unset", "--property", "a", "mini");
    const names = async (...flags: string[]) =>
      (await json("flavor", "list", ...flags)).map((one: { Name: string }) => one.Name);
    expect(await names()).not.toContain("mini");
    expect(await names("--all")).toContain("mini");
    await openstack("flavor", "delete", "mini");
    expect(await names("--all")).not.toContain("mini");
  });

  it("keypair create, list, show, delete; ssh-keygen reads what was generated", async () => {
    const file = join(client.home, "key");
    await openstack("keypair", "create", "--private-key", file, "mine");
    chmodSync(file, 0o600);
    const shown = (await openstack("keypair", "show", "--public-key", "mine")).trim();
    if (needs("the test of a generated key", ["/usr/bin/ssh-keygen"], "openssh-client")) {
      expect((await run("/usr/bin/ssh-keygen", ["-y", "-f", file])).stdout.trim()).toBe(shown);
      const { stdout } = await run("/usr/bin/ssh-keygen", ["-l", "-E", "md5", "-f", file]);
      const [{ Fingerprint }] = await json("keypair", "list");
      expect(stdout).toContain(`MD5:${Fingerprint}`);
    }
    writeFileSync(`${file}.pub`, `${shown}\n`);
    await openstack("keypair", "create", "--public-key", `${file}.pub`, "imported");
    expect((await json("keypair", "list")).map((one: { Name: string }) => one.Name)).toEqual(["imported", "mine"]);
    await openstack("keypair", "delete", "mine", "imported");
    expect(await json("keypair", "list")).toEqual([]);
  });

  it("server group create, list, show, delete", async () => {
    const made = await json("server", "group", "create", "--policy", "anti-affinity", "apart");
    expect(made).toMatchObject({ name: "apart", policies: ["anti-affinity"], members: [], project_id: DEMO_PROJECT });
    expect(await json("server", "group", "list")).toEqual([
      { ID: made.id, Name: "apart", Policies: ["anti-affinity"] },
    ]);
    expect(await json("server", "group", "show", "apart")).toEqual(made);
    await openstack("server", "group", "delete", "apart");
    expect(await json("server", "group", "list")).toEqual([]);
  });

  it("aggregate create, set, add host, show, list, remove host, delete", async () => {
    await openstack("aggregate", "create", "--zone", "east", "fast");
    await openstack("aggregate", "set", "--property", "ssd=true", "fast");
    await openstack("aggregate", "add", "host", "fast", "two");
    expect(await json("aggregate", "show", "fast")).toMatchObject({
      name: "fast",
      availability_zone: "east",
      hosts: ["two"],
      properties: { ssd: "true" },
    });
    expect(await json("availability", "zone", "list", "--compute")).toEqual([
      { "Zone Name": "east", "Zone Status": "available" },
      { "Zone Name": "nova", "Zone Status": "available" },
    ]);
    await expect(openstack("aggregate", "delete", "fast")).rejects.toMatchObject({ code: 1 });
    await openstack("aggregate", "remove", "host", "fast", "two");
    await openstack("aggregate", "delete", "fast");
    expect(await json("aggregate", "list")).toEqual([]);
  });
});
