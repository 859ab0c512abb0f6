/** Quotas, limits and usage, as Debian's `openstack` and `nova` set and print them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";

const OPENSTACK_VERSIONS: Version[] = ["default", "highest"];
const NOVA_VERSIONS: Version[] = ["2.1", "default"];
const ADMIN = "0c7a1d9e54f84f6ab3b8c2f6f2d4e901";

describe.skipIf(clientsMissing())("quotas, limits and usage", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;

  beforeAll(async () => {
    edge = await startTestEdge();
    await edge.agent("one");
    const server = await edge.cloud.createServer("one", await demoImage(edge.cloud), "1");
    await edge.cloud.built(server, 20_000);
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  describe.each(OPENSTACK_VERSIONS)("openstack at its %s microversion", (version) => {
    const highest = version === "highest";
    let os: Shell;
    beforeAll(() => {
      os = clients.shell("openstack", version);
    });

    it("quota show, set, list", async () => {
      const said = { instances: 10, cores: 20, ram: 51_200, properties: 128, "key-pairs": 100, project: DEMO_PROJECT };
      const shown = await os.json`quota show`;
      expect(shown).toMatchObject({ ...said, "server-groups": 10, "server-group-members": 10 });
      expect([shown["injected-files"], shown["floating-ips"]]).toEqual(highest ? [undefined, undefined] : [5, -1]);
      expect(await os.json`quota show --default`).toMatchObject(said);
      const limits = [
        "--instances",
        "9",
        "--cores",
        "19",
        "--ram",
        "50000",
        "--key-pairs",
        "99",
        "--properties",
        "127",
      ];
      await os`quota set ${limits} --server-groups 8 --server-group-members 7 demo`;
      expect(await os.json`quota show demo`).toMatchObject({
        ...{ instances: 9, cores: 19, ram: 50_000, "key-pairs": 99, properties: 127 },
        ...{ "server-groups": 8, "server-group-members": 7 },
      });
      expect(await os.json`quota list --compute`).toEqual([
        expect.objectContaining({ "Project ID": DEMO_PROJECT, Instances: 9, Cores: 19, Ram: 50_000 }),
      ]);
      const detail = await os.json`quota list --compute --detail --project demo`;
      expect(detail).toContainEqual({ Resource: "instances", "In Use": 1, Reserved: 0, Limit: 9 });
      expect(await os.fails`quota set --instances 0 demo`).toContain("already used and reserved");
      await os`quota set --force --instances 0 demo`;
      expect(await os.json`quota show demo`).toMatchObject({ instances: 0 });
      await os`quota set --class --cores 21 default`;
      expect(await clients.shell("nova").properties`quota-class-show default`).toMatchObject({ cores: "21" });
      await os`quota set --class --cores 20 default`;
      await clients.shell("nova")`quota-delete --tenant ${DEMO_PROJECT}`;
      expect(await os.json`quota show demo`).toMatchObject(said);
    });
    it("limits show", async () => {
      const rows = await os.json`limits show --absolute`;
      const absolute = Object.fromEntries(rows.map((row: { Name: string; Value: number }) => [row.Name, row.Value]));
      expect(absolute).toMatchObject({
        ...{ maxTotalInstances: 10, maxTotalCores: 20, maxServerMeta: 128 },
        ...{ totalInstancesUsed: 1, totalCoresUsed: 1, totalRAMUsed: 512 },
      });
      expect(absolute.maxPersonality).toBe(highest ? undefined : 5);
      expect(await os.json`limits show --absolute --project demo`).toEqual(rows);
      expect(await os.json`limits show --rate`).toEqual([]);
    });
    it("usage show and list", async () => {
      const used = { Project: DEMO_PROJECT, Servers: [{ name: "one", flavor: "m1.tiny", vcpus: 1, state: "active" }] };
      expect(await os.json`usage show`).toMatchObject(used);
      expect(await os.json`usage list`).toMatchObject([used]);
      expect(await os.json`usage list --start 2020-01-01 --end 2020-02-01`).toEqual([]);
    });
  });

  describe.each(NOVA_VERSIONS)("nova at its %s microversion", (version) => {
    const first = version === "2.1";
    let nova: Shell;
    beforeAll(() => {
      nova = clients.shell("nova", version);
    });

    it("quota-*, quota-class-*", async () => {
      await nova`quota-update --instances 12 ${DEMO_PROJECT}`;
      await nova`quota-update --user ${ADMIN} --instances 5 ${DEMO_PROJECT}`;
      const ours = await nova.properties`quota-show --tenant ${DEMO_PROJECT}`;
      expect(ours).toMatchObject({ instances: "12", cores: "20" });
      const mine = await nova.properties`quota-show --tenant ${DEMO_PROJECT} --user ${ADMIN}`;
      expect([mine.instances, mine.injected_files, mine.fixed_ips]).toEqual(
        first ? ["5", "5", "-1"] : ["5", undefined, undefined],
      );
      const detail = await nova.properties`quota-show --detail --tenant ${DEMO_PROJECT}`;
      expect(detail.instances).toBe("{'limit': 12, 'in_use': 1, 'reserved': 0}");
      expect(await nova.fails`quota-update --instances 0 ${DEMO_PROJECT}`).toContain("already used and reserved");
      await nova`quota-delete --tenant ${DEMO_PROJECT}`;
      expect(await nova.properties`quota-defaults --tenant ${DEMO_PROJECT}`).toMatchObject({ instances: "10" });
      await nova`quota-class-update --cores 21 default`;
      expect(await nova.properties`quota-class-show default`).toMatchObject({ cores: "21" });
      expect(await nova.rows`limits`).toEqual(
        expect.arrayContaining([
          { Name: "Instances", Used: "1", Max: "10" },
          { Name: "Cores", Used: "1", Max: "21" },
          { Name: "Server Meta", Used: "-", Max: "128" },
        ]),
      );
      await nova`quota-class-update --cores 20 default`;
    });
    it("usage, usage-list", async () => {
      expect(await nova.rows`usage-list`).toEqual([
        expect.objectContaining({ "Tenant ID": DEMO_PROJECT, Servers: "1" }),
      ]);
      const [mine] = await nova.rows`usage`;
      expect(mine).toMatchObject({ Servers: "1", "CPU Hours": expect.stringMatching(/^\d+\.\d+$/) });
      expect(await nova.rows`usage-list --start 2020-01-01 --end 2020-02-01`).toEqual([]);
    });
  });
});
