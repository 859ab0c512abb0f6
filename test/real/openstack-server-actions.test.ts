/** Debian's `openstack`: what is done to a server, seen in the server, and in its events and migrations. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";
import { becomes, gone } from "./server-state.ts";

const VERSIONS: Version[] = ["default", "highest"];

describe.skipIf(clientsMissing())("openstack server", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;
  let image: string;

  beforeAll(async () => {
    edge = await startTestEdge({ RECLAIM_INSTANCE_INTERVAL: "3600", SHELVED_OFFLOAD_TIME: "-1" });
    for (const host of ["one", "two"]) await edge.agent(host);
    image = await demoImage(edge.cloud, "demo");
    await demoImage(edge.cloud, "other");
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  describe.each(VERSIONS)("at its %s microversion", (version) => {
    const name = `vm-${version}`;
    const highest = version === "highest";
    /** The client asks every five seconds: once of each command is enough. */
    const wait = highest ? [] : ["--wait"];
    let os: Shell;
    const becoming = (status: string) => becomes(edge, name, status);
    const shown = (column: string) => os`server show -f value -c ${column} ${name}`;

    beforeAll(async () => {
      os = clients.shell("openstack", version);
      await edge.cloud.createServer(name, image, "1");
      await becoming("ACTIVE");
    });

    it("stop, start, and reboot in both ways", async () => {
      await os`server stop ${name}`;
      await becoming("SHUTOFF");
      expect([await shown("status"), await shown("OS-EXT-STS:power_state")]).toEqual(["SHUTOFF", "4"]);
      expect(await os.fails`server stop ${name}`).toContain("while it is in vm_state stopped (HTTP 409)");
      await os`server start ${name}`;
      await becoming("ACTIVE");
      expect(await os`server reboot ${wait} ${name}`).toBe(highest ? "" : "Complete");
      await becoming("ACTIVE");
      await os`server reboot --hard ${name}`;
      await becoming("ACTIVE");
      expect(await shown("OS-EXT-STS:power_state")).toBe("1");
    });
    it.each([
      { action: "pause", status: "PAUSED", power: "3", back: "unpause" },
      { action: "suspend", status: "SUSPENDED", power: "7", back: "resume" },
      { action: "rescue", status: "RESCUE", power: "1", back: "unrescue" },
    ])("$action is seen as $status until $back", async ({ action, status, power, back }) => {
      await os`server ${action} ${name}`;
      await becoming(status);
      expect([await shown("status"), await shown("OS-EXT-STS:power_state")]).toEqual([status, power]);
      expect(await os.fails`server ${action} ${name}`).toMatch(
        /409.*while it is in vm_state|while it is in vm_state.*409/,
      );
      await os`server ${back} ${name}`;
      await becoming("ACTIVE");
      expect(await shown("status")).toBe("ACTIVE");
    });
    it("rescue from an image, with a password", async () => {
      await os`server rescue --image other --password ${"let me in"} ${name}`;
      await becoming("RESCUE");
      await os`server unrescue ${name}`;
      await becoming("ACTIVE");
    });
    it("rebuild", async () => {
      const user = join(clients.home, "user-data");
      writeFileSync(user, "#!/bin/sh\n");
      const newer = highest ? ["--description", "again", "--user-data", user] : [];
      const given = ["--property", "a=b", "--password", "new pass", ...newer];
      // With --wait the client prints its progress before its JSON.
      const rebuilt = await os.json`server rebuild --image other ${given} ${name}`;
      expect(rebuilt).toMatchObject({ name, adminPass: "new pass", properties: { a: "b" }, status: "REBUILD" });
      if (highest) expect(rebuilt).toMatchObject({ description: "again", user_data: "IyEvYmluL3NoCg==" });
      await becoming("ACTIVE");
      expect(await shown("image")).toMatch(/^other \(/);
      if (!highest) expect(await os`server rebuild --wait ${name}`).toContain("Complete");
      expect(await os.fails`server rebuild --image no ${name}`).toContain("No Image found for no");
    });
    it("lock and unlock", async () => {
      await os`server lock ${highest ? ["--reason", "do not touch"] : []} ${name}`;
      const { body } = await server();
      expect([body.locked, body.locked_reason]).toEqual([true, highest ? "do not touch" : null]);
      if (highest) expect([await shown("locked"), await shown("locked_reason")]).toEqual(["True", "do not touch"]);
      await os`server unlock ${name}`;
      expect((await server()).body.locked).toBe(false);
    });
    it("image create and backup create", async () => {
      const shot = await os.json`server image create --name shot-${version} ${wait} ${name}`;
      expect(shot).toMatchObject({ name: `shot-${version}`, ...(highest ? {} : { status: "active" }) });
      await becoming("ACTIVE");
      const image = await os.json`image show shot-${version}`;
      expect(image).toMatchObject({ id: shot.id, status: "active", properties: { image_type: "snapshot" } });
      const kept = ["--type", "daily", "--rotate", "1"];
      await os`server backup create --name back-${version} ${kept} ${wait} ${name}`;
      await becoming("ACTIVE");
      const backups = await os.json`image list --name back-${version} --long`;
      expect(backups).toEqual([expect.objectContaining({ Status: "active", Visibility: "private" })]);
    });
    it("shelve, shelve --offload, unshelve", async () => {
      await os`server shelve ${name}`;
      await becoming("SHELVED");
      expect(await shown("status")).toBe("SHELVED");
      expect(await os.json`image list --name ${name}-shelved`).toEqual([expect.objectContaining({ Status: "active" })]);
      await os`server shelve --offload ${name}`;
      await becoming("SHELVED_OFFLOADED");
      expect([await shown("status"), await shown("OS-EXT-SRV-ATTR:host")]).toEqual(["SHELVED_OFFLOADED", "None"]);
      await os`server unshelve ${highest ? ["--availability-zone", "nova"] : []} ${name}`;
      await becoming("ACTIVE");
      expect(await shown("OS-EXT-SRV-ATTR:host")).toMatch(/^(one|two)$/);
      expect(await os.json`image list --name ${name}-shelved`).toEqual([]);
    });
    it("dump create, where the microversion has it", async () => {
      if (highest) await os`server dump create ${name}`;
      else expect(await os.fails`server dump create ${name}`).toContain("not supported");
    });
    it("event list and show", async () => {
      const events = await os.json`server event list ${name}`;
      const actions = events.map((event: { Action: string }) => event.Action);
      expect(actions.slice(-5)).toEqual(["reboot", "reboot", "start", "stop", "create"]);
      expect(actions).toEqual(expect.arrayContaining(["pause", "suspend", "rescue", "rebuild", "lock", "createImage"]));
      const [long] = (await os.json`server event list --long ${name}`).slice(-1);
      expect(long).toMatchObject({ Action: "create", Message: null, "Server ID": (await server()).body.id });
      const event = await os.json`server event show ${name} ${long["Request ID"]}`;
      expect(event).toMatchObject({ action: "create", message: null, request_id: long["Request ID"] });
      expect(event.events).toEqual([
        expect.objectContaining({ event: "conductor_schedule_and_build_instances", result: "Success" }),
        expect.objectContaining({ event: "compute__do_build_and_run_instance", result: "Success", traceback: null }),
      ]);
      expect(await os.fails`server event show ${name} req-no`).toContain("(HTTP 404)");
      if (highest) expect(await os.json`server event list --limit 1 ${name}`).toHaveLength(1);
    });
    it("a move that finds no host is recorded and listed, and one that cannot be is refused", async () => {
      const host = await shown("OS-EXT-SRV-ATTR:host");
      const services = await os.json`compute service list`;
      const other = services.map((row: { Host: string }) => row.Host).find((one: string) => one !== host);
      await os`compute service set --disable ${other} nova-compute`;
      await os`server resize --flavor m1.small ${name}`;
      await becoming("ACTIVE");
      await os`server migrate ${name}`;
      await becoming("ACTIVE");
      if (highest) {
        expect(await os.fails`server migrate --host nowhere ${name}`).toContain("could not be found. (HTTP 400)");
        expect(await os.fails`server migrate --host ${host} ${name}`).toContain("where the server exists. (HTTP 400)");
        await os`server migrate --live-migration ${name}`;
        await becoming("ACTIVE");
      } else expect(await os.fails`server migrate --live-migration ${name}`).toContain("(HTTP 400)");
      await os`compute service set --enable ${other} nova-compute`;
      expect(await os.fails`server evacuate ${name}`).toContain("is still in use. (HTTP 400)");
      expect(await os.fails`server resize confirm ${name}`).toContain("while it is in vm_state active (HTTP 409)");
      const rows = await os.json`server migration list --server ${name}`;
      expect(rows.map((row: Record<string, string>) => [row["Source Compute"], row.Status, row["New Flavor"]])).toEqual(
        [
          [host, "error", "1"],
          [host, "error", "1"],
          [host, "error", "2"],
        ],
      );
      if (!highest) return;
      const types = rows.map((row: { Type: string }) => row.Type);
      expect(types).toEqual(["live-migration", "migration", "resize"]);
      expect(await os.json`server migration list --type resize --status error --host ${host}`).toHaveLength(2);
      expect(await os.fails`server migration show ${name} 1`).toContain("(HTTP 404)");
      expect(await os.fails`server migration abort ${name} 1`).toContain("(HTTP 409)");
      expect(await os.fails`server migration force complete ${name} 1`).toContain("(HTTP 409)");
    });
    it("delete, restore, delete --force", async () => {
      await os`server delete ${name}`;
      await becoming("SOFT_DELETED");
      await os`server restore ${name}`;
      await becoming("ACTIVE");
      expect(await shown("OS-EXT-STS:vm_state")).toBe("active");
      await os`server delete --force ${name}`;
      await gone(edge, name);
    });

    async function server() {
      const { id } = await becoming("ACTIVE");
      const { server: body } = await (await edge.call("GET", `/compute/v2.1/servers/${id}`, { minor: 73 })).json();
      return { body };
    }
  });
});
