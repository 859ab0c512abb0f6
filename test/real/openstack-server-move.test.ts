/** Debian's `openstack`: servers that move between two hosts, and what is told of that. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";
import { becomes, gone } from "./server-state.ts";

const VERSIONS: Version[] = ["default", "highest"];
const HOSTS = ["one", "two"];
const other = (host: string) => (host === "one" ? "two" : "one");

describe.skipIf(clientsMissing())("openstack server, from host to host", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;
  const agents = new Map<string, TestAgent>();

  beforeAll(async () => {
    edge = await startTestEdge({ SHELVED_OFFLOAD_TIME: "0" });
    for (const host of HOSTS) agents.set(host, await edge.agent(host));
    await demoImage(edge.cloud, "demo");
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  describe.each(VERSIONS)("at its %s microversion", (version) => {
    const name = `mover-${version}`;
    const highest = version === "highest";
    let os: Shell;
    const becoming = (status: string) => becomes(edge, name, status);
    const shown = (column: string) => os`server show -f value -c ${column} ${name}`;
    const host = () => shown("OS-EXT-SRV-ATTR:host");

    beforeAll(async () => {
      os = clients.shell("openstack", version);
      await os`server create --image demo --flavor m1.tiny ${highest ? ["--nic", "none"] : []} ${name}`;
      await becoming("ACTIVE");
    });

    it("resize, revert, confirm", async () => {
      const from = await host();
      await os`server resize --flavor m1.small ${name}`;
      await becoming("VERIFY_RESIZE");
      expect([await host(), await shown("status")]).toEqual([other(from), "VERIFY_RESIZE"]);
      expect(await os.fails`server resize --flavor m1.medium ${name}`).toContain("409");
      await os`server resize revert ${name}`;
      await becoming("ACTIVE");
      expect([await host(), await shown("flavor")]).toEqual([from, expect.stringContaining("m1.tiny")]);
      await os`server resize --flavor m1.small ${name}`;
      await becoming("VERIFY_RESIZE");
      await os`server resize confirm ${name}`;
      await becoming("ACTIVE");
      expect([await host(), await shown("flavor")]).toEqual([other(from), expect.stringContaining("m1.small")]);
      expect(await os.fails`server resize --flavor m1.tiny ${name}`).toContain(
        "Unable to resize disk down. (HTTP 400)",
      );
    });

    it("migrate, to any host and to one that is named", async () => {
      const from = await host();
      await os`server migrate ${name}`;
      await becoming("VERIFY_RESIZE");
      expect(await host()).toBe(other(from));
      await os`server migration confirm ${name}`;
      await becoming("ACTIVE");
      if (!highest) return;
      await os`server migrate --host ${from} ${name}`;
      await becoming("VERIFY_RESIZE");
      expect(await host()).toBe(from);
      await os`server migration revert ${name}`;
      await becoming("ACTIVE");
      expect(await host()).toBe(other(from));
    });

    it("migrate --live-migration, which leaves it running", async () => {
      const from = await host();
      const launched = await shown("OS-SRV-USG:launched_at");
      await os`server migrate --live-migration ${highest ? ["--host", other(from)] : "--block-migration"} ${name}`;
      await until(async () => (await host()) === other(from), "it is at the other host");
      await becoming("ACTIVE");
      expect([await shown("OS-EXT-STS:power_state"), await shown("OS-SRV-USG:launched_at")]).toEqual(["1", launched]);
    });

    it("shelve, which frees its host, and unshelve; then rescue and rebuild where it came back", async () => {
      await os`server shelve ${name}`;
      await becoming("SHELVED_OFFLOADED");
      expect(["None", ""]).toContain(await host());
      await os`server unshelve ${name}`;
      await becoming("ACTIVE");
      expect(HOSTS).toContain(await host());
      await os`server rescue ${name}`;
      await becoming("RESCUE");
      await os`server unrescue ${name}`;
      await becoming("ACTIVE");
      await os`server rebuild ${name}`;
      await becoming("ACTIVE");
    });

    it("evacuate, from a host that is down; its agent's left-overs go when it is back", async () => {
      const from = await host();
      await agents.get(from)?.agent.stop();
      await os`compute service set --down ${from} nova-compute --os-compute-api-version 2.53`;
      // Debian's client breaks on every answer to it, when all is done.
      expect(await os.fails`server evacuate ${name}`).toContain("object has no attribute 'to_dict'");
      await until(async () => (await host()) === other(from), "it is at the other host");
      await becoming("ACTIVE");
      expect(await os.fails`compute service set --up ${from} nova-compute --os-compute-api-version 2.53`).toContain(
        "failed to set",
      );
      const stateDir = agents.get(from)?.stateDir ?? "";
      agents.set(from, await edge.agent(from, { stateDir }));
      await until(
        () =>
          os`compute service set --up ${from} nova-compute --os-compute-api-version 2.53`.then(
            () => true,
            () => false,
          ),
        "its left-overs are gone",
      );
    });

    it("migration list tells of all that", async () => {
      const rows = await os.json`server migration list --server ${name}`;
      expect(rows.map((row: Record<string, string>) => row.Status)).toEqual([
        ...["completed", "completed"],
        ...(highest ? ["reverted"] : []),
        ...["confirmed", "confirmed", "reverted"],
      ]);
      if (highest) {
        expect(rows.map((row: Record<string, string>) => row.Type)).toEqual([
          ...["evacuation", "live-migration", "migration", "migration", "resize", "resize"],
        ]);
      }
      await os`server delete ${name}`;
      await gone(edge, name);
      const { hypervisors } = await (await edge.call("GET", "/compute/v2.1/os-hypervisors/detail")).json();
      expect(hypervisors.map((one: { running_vms: number }) => one.running_vms)).toEqual([0, 0]);
    });
  });
});
