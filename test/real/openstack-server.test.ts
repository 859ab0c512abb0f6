/** Debian's `openstack`: servers made, listed, shown, changed and deleted, and their consoles. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_PROJECT, demoImage, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";
import { TEST_SECRETS } from "../secrets.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, OPENSTACK, type Shell, startClients } from "./clients.ts";
import { becomes, gone } from "./server-state.ts";

const run = promisify(execFile);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe.skipIf(clientsMissing())("openstack server", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let hosts: Record<"one" | "two", TestAgent>;
  let clients: Clients;
  let image: string;

  beforeAll(async () => {
    edge = await startTestEdge();
    hosts = { one: await edge.agent("one"), two: await edge.agent("two") };
    image = await demoImage(edge.cloud, "cirros-like");
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  const file = (name: string, content: string) => {
    writeFileSync(join(clients.home, name), content);
    return join(clients.home, name);
  };
  /** A file of the config drive that the host gave to the guest. */
  const onDrive = (host: "one" | "two", id: string, path: string) =>
    readFileSync(join(hosts[host].stateDir, "fake/config-drives", id, path), "utf8");
  const names = (rows: { Name: string }[]) => rows.map(({ Name }) => Name).sort();

  describe("at its default microversion", () => {
    let os: Shell;
    let id: string;
    const boot = ["--image", "cirros-like", "--flavor", "m1.tiny"];
    beforeAll(() => {
      os = clients.shell("openstack");
    });

    it("create with a key, user data, a file, a password, a property and a group; --wait", async () => {
      const group = await os.json`server group create --policy anti-affinity apart`;
      await os`keypair create mine`;
      const key = await os`keypair show --public-key mine`;
      const user = ["--key-name", "mine", "--user-data", file("data", "#!/bin/sh\n"), "--password", "pass word"];
      const given = [...user, "--file", `/etc/motd=${file("motd", "hello\n")}`, "--property", "role=web"];
      const made = await os.json`server create ${boot} ${given} --hint group=${group.id} --wait web-1`;
      expect(made).toMatchObject({
        name: "web-1",
        status: "ACTIVE",
        "OS-EXT-STS:vm_state": "active",
        adminPass: "pass word",
        key_name: "mine",
        config_drive: "True",
        properties: { role: "web" },
        flavor: "m1.tiny (1)",
      });
      id = made.id;
      expect(id).toMatch(UUID);
      const host = made["OS-EXT-SRV-ATTR:host"];
      expect(onDrive(host, id, "openstack/latest/user_data")).toBe("#!/bin/sh\n");
      expect(onDrive(host, id, "openstack/content/0000")).toBe("hello\n");
      const meta = JSON.parse(onDrive(host, id, "openstack/latest/meta_data.json"));
      expect(meta).toMatchObject({ name: "web-1", admin_pass: "pass word", public_keys: { mine: key } });
      expect((await os.json`server group show apart`).members).toEqual([id]);
      await os`server create ${boot} --hint group=${group.id} web-2`;
      const second = await becomes(edge, "web-2", "ACTIVE");
      expect(second["OS-EXT-SRV-ATTR:host"]).not.toBe(host);
    });
    it("create --min --max, and in a zone's host", async () => {
      await os`server create ${boot} --min 2 --max 2 --availability-zone nova:two row`;
      for (const name of ["row-1", "row-2"]) {
        expect(await becomes(edge, name, "ACTIVE")).toMatchObject({ "OS-EXT-SRV-ATTR:host": "two" });
      }
    });
    it("create is refused with the edge's own words", async () => {
      expect(await os.fails`server create --image no-such --flavor m1.tiny x`).toContain("No Image found for no-such");
      expect(await os.fails`server create --image cirros-like --flavor no x`).toContain("No flavor with a name or ID");
      expect(await os.fails`server create ${boot} --key-name no x`).toContain("Invalid key_name provided");
      expect(await os.fails`server create ${boot} --min 11 --max 11 x`).toMatch(/Quota exceeded.*HTTP 403/);
      expect(await os.fails`server create ${boot} --availability-zone west x`).toContain("(HTTP 400)");
    });
    it("list, and its filters", async () => {
      expect(await os.json`server list --name ^web-1$`).toEqual([
        { ID: id, Name: "web-1", Status: "ACTIVE", Networks: {}, Image: "cirros-like", Flavor: "m1.tiny" },
      ]);
      const [long] = await os.json`server list --long --name ^web-1$`;
      expect(long).toMatchObject({ "Power State": 1, "Image ID": image, "Availability Zone": "nova" });
      const all = ["row-1", "row-2", "web-1", "web-2"];
      expect(names(await os.json`server list --all-projects`)).toEqual(all);
      expect(names(await os.json`server list --project demo`)).toEqual(all);
      expect(names(await os.json`server list --user admin --status ACTIVE`)).toEqual(all);
      expect(names(await os.json`server list --status SHUTOFF`)).toEqual([]);
      expect(names(await os.json`server list --host two --name row`)).toEqual(["row-1", "row-2"]);
      expect(names(await os.json`server list --flavor m1.tiny --image cirros-like --name web`)).toHaveLength(2);
      expect(names(await os.json`server list --flavor m1.small`)).toEqual([]);
      expect(names(await os.json`server list --changes-since 2020-01-01T00:00:00Z`)).toEqual(all);
      expect(names(await os.json`server list --changes-since 2099-01-01T00:00:00Z`)).toEqual([]);
      expect(names(await os.json`server list --deleted`)).toEqual([]);
      const page = await os.json`server list --limit 3`;
      const rest = await os.json`server list --marker ${page[2].ID}`;
      expect(names([...page, ...rest])).toEqual(all);
    });
    it("list, by the program itself and a clouds.yaml", async () => {
      const auth = {
        ...{ auth_url: `${edge.url}/identity/v3`, username: "admin", password: TEST_SECRETS.ADMIN_PASSWORD },
        ...{ project_name: "demo", user_domain_name: "Default", project_domain_name: "Default" },
      };
      // JSON is YAML.
      const clouds = file("clouds.yaml", JSON.stringify({ clouds: { edge: { auth, region_name: "RegionOne" } } }));
      const env = { PATH: "/usr/bin:/bin", HOME: clients.home, OS_CLIENT_CONFIG_FILE: clouds, OS_CLOUD: "edge" };
      const { stdout } = await run(OPENSTACK, ["server", "list", "-f", "json"], { env });
      expect(JSON.parse(stdout)).toEqual(await os.json`server list`);
    });
    it("show", async () => {
      expect(await os.json`server show web-1`).toMatchObject({
        id,
        name: "web-1",
        image: `cirros-like (${image})`,
        addresses: {},
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-STS:task_state": null,
        project_id: DEMO_PROJECT,
      });
      expect(await os.fails`server show no-such`).toContain("No server with a name or ID of 'no-such' exists.");
      expect(await os.fails`server show row`).toContain("No server");
    });
    it("set and unset: name, properties, state, password", async () => {
      await os`server set --name web --property tier=${"front end"} --property role=lb web-1`;
      expect(await os.json`server show web`).toMatchObject({ id, properties: { role: "lb", tier: "front end" } });
      await os`server unset --property role web`;
      expect((await os.json`server show web`).properties).toEqual({ tier: "front end" });
      expect(await os.fails`server unset --property role web`).toContain("Metadata item was not found (HTTP 404)");
      await os`server set --state error web`;
      expect(await os`server show -f value -c status web`).toBe("ERROR");
      await os`server set --state active web`;
      expect(await os`server show -f value -c status web`).toBe("ACTIVE");
      await os`server set --password ${"new pass"} web`;
      await becomes(edge, "web", "ACTIVE");
    });
    it("console log show", async () => {
      const log = await os`console log show web`;
      expect(log.split("\n")[0]).toContain("Linux version");
      expect(log).toContain("web-1 login:");
      expect(await os`console log show --lines 2 web`).toBe(log.split("\n").slice(-1)[0]);
    });
    it("console url show", async () => {
      for (const flag of [[], ["--novnc"]]) {
        const shown = await os.json`console url show ${flag} web`;
        expect(shown).toMatchObject({ protocol: "vnc", type: "novnc" });
        const url = new URL(shown.url);
        expect([url.origin, url.pathname]).toEqual([edge.url, "/vnc_auto.html"]);
        expect(url.searchParams.get("token")).toMatch(UUID);
        expect((await fetch(url)).status).toBe(200);
      }
      for (const other of ["--spice", "--serial", "--rdp", "--mks"]) {
        expect(await os.fails`console url show ${other} web`).toContain("Unavailable console type");
      }
    });
    it("what needs a network or volumes is refused or empty", async () => {
      expect(await os.json`server volume list web`).toEqual([]);
      expect(await os.fails`server add network web net`).not.toContain("HTTP 500");
      expect(await os.fails`server ssh web`).toContain("No public IP");
    });
    it("delete several, and --wait", async () => {
      await os`server delete row-1 row-2 web-2`;
      await gone(edge, "row-1");
      await os`server delete --wait web`;
      await Promise.all(["row-2", "web-2"].map((name) => gone(edge, name)));
      expect(await os.json`server list`).toEqual([]);
      expect((await edge.call("GET", `/compute/v2.1/servers/${id}`)).status).toBe(404);
      const deleted = await os.json`server list --deleted`;
      expect(deleted).toContainEqual(expect.objectContaining({ ID: id, Name: "web", Status: "DELETED" }));
      expect(await os.fails`server delete web`).toContain("No server with a name or ID of 'web' exists.");
    });
  });

  describe("at its highest microversion", () => {
    let os: Shell;
    const boot = ["--image", "cirros-like", "--flavor", "m1.tiny", "--nic", "none"];
    beforeAll(() => {
      os = clients.shell("openstack", "highest");
    });

    it("create with a host, host name, tags, description and rule", async () => {
      const given = [
        "--host",
        "two",
        "--hostname",
        "inside",
        "--tag",
        "red",
        "--tag",
        "old",
        "--description",
        "a thing",
      ];
      const made = await os.json`server create ${boot} ${given} --wait blue`;
      expect(made).toMatchObject({
        status: "ACTIVE",
        host_status: "UP",
        "OS-EXT-SRV-ATTR:host": "two",
        "OS-EXT-SRV-ATTR:hostname": "inside",
        tags: ["red", "old"],
        description: "a thing",
        flavor: { original_name: "m1.tiny", vcpus: 1, ram: 512, disk: 1, swap: 0, extra_specs: {} },
        locked: false,
        locked_reason: null,
        server_groups: [],
        trusted_image_certificates: null,
      });
      const meta = JSON.parse(onDrive("two", made.id, "openstack/latest/meta_data.json"));
      expect(meta).toMatchObject({ name: "blue", hostname: "inside" });
      await os`server create ${boot} --hypervisor-hostname one --tag new green`;
      expect(await becomes(edge, "green", "ACTIVE")).toMatchObject({ "OS-EXT-SRV-ATTR:host": "one" });
      expect(await os.fails`server create ${boot} --host three x`).toContain("Compute host three could not be found");
    });
    it("create --swap --ephemeral", async () => {
      await os`flavor create --ram 64 --disk 1 --ephemeral 2 --swap 1024 roomy`;
      const roomy = ["--image", "cirros-like", "--flavor", "roomy", "--nic", "none"];
      await os`server create ${roomy} --swap 512 --ephemeral size=1,format=ext3 roomy-1`;
      await becomes(edge, "roomy-1", "ACTIVE");
      const printed = () => os`console log show roomy-1`;
      await until(async () => (await printed()).includes("multi-user.target"), "it is up");
      expect((await printed()).match(/virtio_blk: .*/g)?.slice(1)).toEqual([
        "virtio_blk: [vdb] 1 GiB, ext3",
        "virtio_blk: [vdc] 512 MiB, swap",
      ]);
      expect(await os.fails`server create ${roomy} --swap 2048 more`).toContain("Swap drive requested is larger");
      await os`server delete roomy-1`;
      await gone(edge, "roomy-1");
      await os`flavor delete roomy`;
    });
    it("list by tags, locks, times and details", async () => {
      expect(names(await os.json`server list --tags red --tags old`)).toEqual(["blue"]);
      expect(names(await os.json`server list --tags red --tags new`)).toEqual([]);
      expect(names(await os.json`server list --not-tags red`)).toEqual(["green"]);
      await os`server lock --reason upkeep green`;
      expect(names(await os.json`server list --locked`)).toEqual(["green"]);
      expect(names(await os.json`server list --unlocked`)).toEqual(["blue"]);
      await os`server unlock green`;
      // With a time, what was deleted since is in the list.
      const before = await os.json`server list --changes-before 2099-01-01T00:00:00Z`;
      expect(names(before)).toEqual(["blue", "green", "roomy-1", "row-1", "row-2", "web", "web-2"]);
      expect(names(await os.json`server list --changes-before 2020-01-01T00:00:00Z`)).toEqual([]);
      expect(names(await os.json`server list --availability-zone nova --vm-state active`)).toEqual(["blue", "green"]);
      expect(names(await os.json`server list --key-name none --no-config-drive`)).toEqual([]);
      const [one] = await os.json`server list --no-name-lookup --name green`;
      expect(one).toMatchObject({ Image: image, Flavor: "m1.tiny" });
      const [long] = await os.json`server list --long --name green`;
      expect(long).toMatchObject({ Host: "one", "Host Status": "UP", Properties: {} });
    });
    it("set and unset: tags, description, host name", async () => {
      await os`server set --tag extra --description ${"a new thing"} --hostname other blue`;
      const changed = await os.json`server show blue`;
      expect(changed).toMatchObject({ description: "a new thing", "OS-EXT-SRV-ATTR:hostname": "other" });
      expect(changed.tags.sort()).toEqual(["extra", "old", "red"]);
      await os`server unset --tag red --tag old --description blue`;
      expect(await os.json`server show blue`).toMatchObject({ description: null, tags: ["extra"] });
    });
    it("console log and url show", async () => {
      expect(await os`console log show blue`).toContain("blue login:");
      expect((await os.json`console url show --novnc blue`).url).toContain(`${edge.url}/vnc_auto.html?token=`);
    });
    it("delete --force and --all-projects", async () => {
      await os`server delete --force --wait blue`;
      await os`server delete --all-projects green`;
      await gone(edge, "green");
      expect(await os.json`server list`).toEqual([]);
    });
  });
});
