/** Debian's `nova`, as an operator: flavors, key pairs, groups, aggregates, hypervisors, services, zones. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";

const VERSIONS: Version[] = ["2.1", "default"];
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPleMVojgwA/JK5qs+kEdfDI/s7XQl0f9b98CPdmaOtV a@b";
const KEY_MD5 = "1f:48:d4:16:56:a2:06:e2:89:35:33:3e:0a:db:5e:04";

describe.skipIf(clientsMissing())("nova", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;
  let image: string;

  beforeAll(async () => {
    edge = await startTestEdge();
    for (const host of ["one", "two"]) await edge.agent(host, { vcpus: 4, memory_mb: 4096, local_gb: 100 });
    image = await demoImage(edge.cloud, "demo");
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  describe.each(VERSIONS)("at its %s microversion", (version) => {
    const first = version === "2.1";
    let nova: Shell;
    beforeAll(() => {
      nova = clients.shell("nova", version);
    });

    it("flavor-create, -key, -access-*, -show, -list, -update, -delete", async () => {
      const said = first ? [] : ["--description", "small"];
      const [made] = await nova.rows`flavor-create --is-public false --swap 3 ${said} mini 77 256 1 2`;
      expect(made).toMatchObject({
        ID: "77",
        Name: "mini",
        Memory_MiB: "256",
        VCPUs: "2",
        Swap: "3",
        Is_Public: "False",
      });
      await nova`flavor-key mini set a=b`;
      await nova`flavor-key mini set c=d`;
      await nova`flavor-key mini unset a`;
      const access = [{ Flavor_ID: "77", Tenant_ID: DEMO_PROJECT }];
      expect(await nova.rows`flavor-access-add mini ${DEMO_PROJECT}`).toEqual(access);
      expect(await nova.rows`flavor-access-list --flavor mini`).toEqual(access);
      expect(await nova.rows`flavor-access-remove mini ${DEMO_PROJECT}`).toEqual([]);
      if (!first) expect((await nova.rows`flavor-update mini smaller`)[0]?.Description).toBe("smaller");
      expect(await nova.properties`flavor-show mini`).toMatchObject({
        id: "77",
        ram: "256",
        swap: "3",
        extra_specs: '{"c": "d"}',
        ...(first ? {} : { description: "smaller" }),
      });
      const [found] = (await nova.rows`flavor-list --all --extra-specs`).filter(({ ID }) => ID === "77");
      expect(found).toMatchObject({ Name: "mini", extra_specs: "{'c': 'd'}" });
      await nova`flavor-delete mini`;
      expect((await nova.rows`flavor-list --all`).map(({ ID }) => ID)).toEqual(["1", "2", "3", "4", "5"]);
      expect(await nova.fails`flavor-show mini`).toContain("No flavor with a name or ID of 'mini' exists.");
    });
    it("keypair-add, -list, -show, -delete", async () => {
      const file = join(clients.home, "key.pub");
      writeFileSync(file, `${KEY}\n`);
      await nova`keypair-add --pub-key ${file} mine`;
      expect(await nova.fails`keypair-add --pub-key ${file} mine`).toContain("Key pair 'mine' already exists.");
      expect(await nova.rows`keypair-list`).toEqual([
        { Name: "mine", ...(first ? {} : { Type: "ssh" }), Fingerprint: KEY_MD5 },
      ]);
      const shown = await nova`keypair-show mine`;
      expect(shown).toContain(`Public key: ${KEY}`);
      expect(shown).toContain(KEY_MD5);
      await nova`keypair-delete mine`;
      expect(await nova.rows`keypair-list`).toEqual([]);
      if (first) expect(await nova`keypair-add made`).toContain("-----BEGIN OPENSSH PRIVATE KEY-----");
      else expect(await nova.fails`keypair-add made`).toContain("attribute public_key.");
      if (first) await nova`keypair-delete made`;
    });
    it("server-group-create, -get, -list, -delete", async () => {
      const rule = first ? [] : ["--rule", "max_server_per_host=2"];
      const [made = {}] = await nova.rows`server-group-create ${rule} apart anti-affinity`;
      expect(made).toMatchObject(
        first
          ? { Name: "apart", Policies: "['anti-affinity']", Metadata: "{}", Members: "[]" }
          : { Name: "apart", Policy: "anti-affinity", Rules: "{'max_server_per_host': 2}", Members: "[]" },
      );
      expect(await nova.rows`server-group-list`).toEqual([made]);
      expect(await nova.rows`server-group-list --limit 1 --offset 1`).toEqual([]);
      expect(await nova.rows`server-group-get ${made.Id ?? ""}`).toEqual([made]);
      await nova`server-group-delete ${made.Id ?? ""}`;
      expect(await nova.rows`server-group-list`).toEqual([]);
      expect(await nova.fails`server-group-get ${made.Id ?? ""}`).toContain("(HTTP 404)");
    });
    it("aggregate-*, availability-zone-list", async () => {
      const [made] = await nova.rows`aggregate-create fast east`;
      expect(made).toMatchObject({ Name: "fast", "Availability Zone": "east", Metadata: "'availability_zone=east'" });
      await nova`aggregate-add-host fast two`;
      await nova`aggregate-set-metadata fast ssd=true`;
      await nova`aggregate-update --name faster fast`;
      const [shown] = await nova.rows`aggregate-show faster`;
      expect(shown).toMatchObject({ Name: "faster", Hosts: "'two'", Metadata: "'availability_zone=east', 'ssd=true'" });
      expect((await nova.rows`aggregate-list`).map(({ Name }) => Name)).toEqual(["faster"]);
      const zones = await nova.rows`availability-zone-list`;
      expect(zones.map(({ Name }) => Name)).toEqual([
        ...["east", "|- two", "| |- nova-compute"],
        ...["nova", "|- one", "| |- nova-compute"],
      ]);
      expect(zones[0]?.Status).toBe("available");
      if (!first) await nova`aggregate-cache-images faster ${image}`;
      expect(await nova.fails`aggregate-delete faster`).toContain("Host aggregate is not empty");
      await nova`aggregate-remove-host faster two`;
      await nova`aggregate-delete faster`;
      expect(await nova.rows`aggregate-list`).toEqual([]);
    });
    it("hypervisor-*", async () => {
      const hypervisors = await nova.rows`hypervisor-list`;
      expect(hypervisors.map((row) => [row["Hypervisor hostname"], row.State, row.Status])).toEqual([
        ["one", "up", "enabled"],
        ["two", "up", "enabled"],
      ]);
      expect(await nova.rows`hypervisor-list --matching tw`).toHaveLength(1);
      const id = hypervisors[1]?.ID ?? "";
      const shown = await nova.properties`hypervisor-show ${id}`;
      expect(shown).toMatchObject({
        hypervisor_hostname: "two",
        hypervisor_type: "fake",
        service_host: "two",
        state: "up",
      });
      expect([shown.vcpus, shown.memory_mb]).toEqual(first ? ["4", "4096"] : [undefined, undefined]);
      expect(await nova.rows`hypervisor-servers two`).toEqual([]);
      const uptime = await nova.properties`hypervisor-uptime ${id}`;
      expect(uptime).toMatchObject({ hypervisor_hostname: "two", uptime: expect.stringContaining("load average") });
      if (first) expect(await nova.properties`hypervisor-stats`).toMatchObject({ count: "2", vcpus: "8" });
      else expect(await nova.fails`hypervisor-stats`).toContain("not supported in API version 2.88 or later");
      if (!first) expect(await nova.rows`hypervisor-list --limit 1`).toHaveLength(1);
    });
    it("service-*", async () => {
      const find = async () => (await nova.rows`service-list --host two --binary nova-compute`)[0] ?? {};
      const { Id = "" } = await find();
      // Before 2.53 a service is named by its host.
      const service = first ? "two" : Id;
      const [disabled] = await nova.rows`service-disable ${service} --reason ${"a disk"}`;
      expect(disabled).toMatchObject({ Status: "disabled", "Disabled Reason": "a disk" });
      expect(await find()).toMatchObject({ Status: "disabled", State: "up", "Disabled Reason": "a disk" });
      await nova`service-enable ${service}`;
      expect(await find()).toMatchObject({ Status: "enabled", "Disabled Reason": "-" });
      if (first) return;
      await nova`service-force-down ${service}`;
      expect(await find()).toMatchObject({ State: "down", "Forced down": "True" });
      await nova`service-force-down ${service} --unset`;
      expect(await find()).toMatchObject({ State: "up", "Forced down": "False" });
    });
    it("service-delete", async () => {
      const { agent } = await edge.agent(`gone-${version}`);
      await agent.stop();
      const [row] = await nova.rows`service-list --host gone-${version}`;
      await nova`service-delete ${row?.Id ?? ""}`;
      expect((await nova.rows`service-list`).map(({ Host }) => Host)).toEqual(["one", "two"]);
    });
  });
});
