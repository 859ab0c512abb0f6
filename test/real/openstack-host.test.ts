/** Debian's `openstack`, as an operator: hypervisors, compute services, aggregates, availability zones, extensions. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";

const VERSIONS: Version[] = ["default", "highest"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe.skipIf(clientsMissing())("openstack", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;

  beforeAll(async () => {
    edge = await startTestEdge();
    for (const host of ["one", "two"]) await edge.agent(host, { vcpus: 4, memory_mb: 4096, local_gb: 100 });
    const server = await edge.cloud.createServer("guest", await demoImage(edge.cloud, "demo"), "1");
    await edge.cloud.built(server, 20_000);
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  describe.each(VERSIONS)("at its %s microversion", (version) => {
    const highest = version === "highest";
    let os: Shell;
    /** The host that has the guest, and the one without. */
    let full: string;
    let empty: string;
    beforeAll(async () => {
      os = clients.shell("openstack", version);
      full = await clients.shell("openstack")`server show -f value -c OS-EXT-SRV-ATTR:host guest`;
      empty = full === "one" ? "two" : "one";
    });

    it("hypervisor list and show", async () => {
      const id = highest ? expect.stringMatching(UUID) : expect.any(Number);
      const row = { ID: id, "Hypervisor Type": "fake", "Host IP": expect.stringMatching(/^[\da-f.:]*$/), State: "up" };
      expect(await os.json`hypervisor list`).toEqual([
        { ...row, "Hypervisor Hostname": "one" },
        { ...row, "Hypervisor Hostname": "two" },
      ]);
      const [found, ...others] = await os.json`hypervisor list --matching ${full}`;
      expect([found["Hypervisor Hostname"], others]).toEqual([full, []]);
      const shown = await os.json`hypervisor show ${full}`;
      expect(shown).toMatchObject({
        hypervisor_hostname: full,
        service_host: full,
        state: "up",
        status: "enabled",
        aggregates: [],
        uptime: expect.stringMatching(/\d/),
      });
      const used = { vcpus: 4, vcpus_used: 1, memory_mb: 4096, running_vms: 1, local_gb: 100, free_disk_gb: 99 };
      if (highest) expect(shown).not.toHaveProperty("vcpus");
      else expect(shown).toMatchObject(used);
      expect(await os.fails`hypervisor show three`).toContain("No hypervisor with a name or ID of 'three' exists.");
    });
    it("hypervisor stats show, until 2.88", async () => {
      if (highest) expect(await os.fails`hypervisor stats show`).toContain("removed in API version 2.88");
      else expect(await os.json`hypervisor stats show`).toMatchObject({ count: 2, vcpus: 8, vcpus_used: 1 });
    });
    it("host list and show, until 2.43", async () => {
      expect((await os.json`host list`).map((row: Record<string, string>) => row["Host Name"])).toEqual(["one", "two"]);
    });
    it("compute service list, set and delete", async () => {
      const row = {
        ID: expect.stringMatching(UUID),
        Binary: "nova-compute",
        Zone: "nova",
        "Updated At": expect.any(String),
      };
      expect(await os.json`compute service list`).toEqual([
        { ...row, Host: "one", Status: "enabled", State: "up" },
        { ...row, Host: "two", Status: "enabled", State: "up" },
      ]);
      const long = async (host: string) => (await os.json`compute service list --long --host ${host}`)[0];
      await os`compute service set --disable --disable-reason ${"a disk"} ${empty} nova-compute`;
      expect(await long(empty)).toMatchObject({ Status: "disabled", State: "up", "Disabled Reason": "a disk" });
      expect(await os.json`compute service list --service nova-api`).toEqual([]);
      await os`compute service set --enable ${empty} nova-compute`;
      expect(await long(empty)).toMatchObject({ Status: "enabled", "Disabled Reason": null });
      if (highest) {
        await os`compute service set --down ${empty} nova-compute`;
        expect(await long(empty)).toMatchObject({ State: "down", "Forced Down": true });
        expect(await os.json`hypervisor list --matching ${empty}`).toEqual([
          expect.objectContaining({ State: "down" }),
        ]);
        await os`compute service set --up ${empty} nova-compute`;
        expect(await long(empty)).toMatchObject({ State: "up", "Forced Down": false });
      }
      const { ID } = await long(full);
      expect(await os.fails`compute service delete ${ID}`).toContain("Unable to delete compute service");
      expect(await os.fails`compute service delete 999`).toContain("Invalid uuid 999");
    });
    it("aggregate create, add host, set, unset, cache image, remove host, delete; availability zone list", async () => {
      const made = await os.json`aggregate create --zone east --property a=b fast`;
      expect(made).toMatchObject({ name: "fast", availability_zone: "east", hosts: [] });
      expect(made.properties).toMatchObject({ a: "b" });
      expect(await os.fails`aggregate create fast`).toContain("already exists");
      expect(await os.json`aggregate add host fast ${empty}`).toMatchObject({ hosts: [empty] });
      expect(await os.fails`aggregate add host fast ${full}`).toContain("409");
      await os`aggregate set --property ssd=true fast`;
      await os`aggregate unset --property a fast`;
      expect(await os.json`aggregate show fast`).toMatchObject({ hosts: [empty], properties: { ssd: "true" } });
      expect(await os.json`aggregate list --long`).toEqual([
        { ID: made.id, Name: "fast", "Availability Zone": "east", Properties: { ssd: "true" }, Hosts: [empty] },
      ]);
      expect(await os.json`availability zone list --compute`).toEqual([
        { "Zone Name": "east", "Zone Status": "available" },
        { "Zone Name": "nova", "Zone Status": "available" },
      ]);
      const zones = await os.json`availability zone list --compute --long`;
      expect(zones).toContainEqual(
        expect.objectContaining({ "Zone Name": "east", "Host Name": empty, "Service Name": "nova-compute" }),
      );
      await os`aggregate cache image fast demo`;
      await os`aggregate set --name faster fast`;
      expect(await os.fails`aggregate delete faster`).toContain("Host aggregate is not empty");
      expect(await os.json`aggregate remove host faster ${empty}`).toMatchObject({ hosts: [] });
      await os`aggregate delete faster`;
      expect(await os.json`aggregate list`).toEqual([]);
    });
    it("extension list, versions show", async () => {
      const extensions = await os.json`extension list --compute`;
      expect(extensions).toContainEqual({ Name: "Keypairs", Alias: "os-keypairs", Description: "" });
      const versions = await os.json`versions show --service compute`;
      expect(versions).toContainEqual(
        expect.objectContaining({ Version: "2.1", Status: "CURRENT", "Min Microversion": "2.1" }),
      );
    });
  });

  it("compute service delete of a host without guests", async () => {
    const os = clients.shell("openstack", "highest");
    const agent = await edge.agent("three");
    await agent.agent.stop();
    const [{ ID }] = await os.json`compute service list --host three`;
    await os`compute service delete ${ID}`;
    const hosts = (await os.json`compute service list`).map((row: { Host: string }) => row.Host);
    expect(hosts).toEqual(["one", "two"]);
  });
});
