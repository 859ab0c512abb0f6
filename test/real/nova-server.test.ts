/** Debian's `nova`: servers, what is done to them and what is told of them. Its own default is its highest version. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";
import { becomes, gone } from "./server-state.ts";

const VERSIONS: Version[] = ["2.1", "default"];

describe.skipIf(clientsMissing())("nova", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;
  let image: string;

  beforeAll(async () => {
    edge = await startTestEdge({ RECLAIM_INSTANCE_INTERVAL: "3600", SHELVED_OFFLOAD_TIME: "-1" });
    for (const host of ["one", "two"]) await edge.agent(host);
    image = await demoImage(edge.cloud, "demo");
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });

  describe.each(VERSIONS)("at its %s microversion", (version) => {
    const first = version === "2.1";
    const name = `vm-${version}`;
    let nova: Shell;
    let id: string;
    const becoming = (status: string) => becomes(edge, name, status);
    const shown = () => nova.properties`show ${name}`;
    const listed = (rows: Record<string, string>[]) => rows.map((row) => row.Name).sort();

    beforeAll(() => {
      nova = clients.shell("nova", version);
    });

    it("boot, show, list", async () => {
      const data = join(clients.home, "data");
      writeFileSync(data, "#!/bin/sh\n");
      const newer = ["--nic", "none", "--host", "two", "--hostname", "inside", "--tags", "a,b", "--description", "d"];
      const given = ["--meta", "role=web", "--user-data", data, "--config-drive", "true", ...(first ? [] : newer)];
      const boot = ["--image", "demo", "--flavor", "m1.tiny"];
      const made = await nova.properties`boot ${boot} ${given} ${name}`;
      expect(made).toMatchObject({ name, metadata: '{"role": "web"}', config_drive: "True" });
      expect(made.adminPass).toMatch(/^\w{12}$/);
      id = made.id ?? "";
      await becoming("ACTIVE");
      expect(await shown()).toMatchObject({
        id,
        status: "ACTIVE",
        image: `demo (${image})`,
        "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:power_state": "1",
        ...(first
          ? { flavor: "m1.tiny (1)" }
          : {
              "flavor:original_name": "m1.tiny",
              "OS-EXT-SRV-ATTR:host": "two",
              "OS-EXT-SRV-ATTR:hostname": "inside",
              tags: '["a", "b"]',
              description: "d",
              locked: "False",
              host_status: "UP",
            }),
      });
      const row = { ID: id, Name: name, Status: "ACTIVE", "Task State": "-", "Power State": "Running", Networks: "" };
      expect(await nova.rows`list --name ${name}`).toEqual([row]);
      expect(await nova.fails`boot --image no --flavor 1 x`).toContain("No Image matching no.");
      expect(await nova.fails`show no-such`).toContain("No server with a name or ID of 'no-such' exists.");
    });
    it("list by filters, sorted, in pages, by fields", async () => {
      await edge.cloud.createServer(`other-${version}`, image, "1");
      await becomes(edge, `other-${version}`, "ACTIVE");
      const two = [`other-${version}`, name];
      const mine = `^(vm|other)-${version}$`;
      const sorted = await nova.rows`list --name ${mine} --sort display_name:desc`;
      expect(sorted.map((row) => row.Name)).toEqual([name, `other-${version}`]);
      expect(listed(await nova.rows`list --name ${mine} --status ACTIVE --flavor 1 --image demo`)).toEqual(two);
      expect(listed(await nova.rows`list --name ${mine} --status PAUSED`)).toEqual([]);
      const page = await nova.rows`list --name ${mine} --sort display_name:asc --limit 1`;
      expect(listed(page)).toEqual([`other-${version}`]);
      const marker = page[0]?.ID ?? "";
      expect(listed(await nova.rows`list --name ${mine} --sort display_name:asc --marker ${marker}`)).toEqual([name]);
      expect((await nova.rows`list --all-tenants --name ${name}`)[0]?.["Tenant ID"]).toMatch(/^[0-9a-f]{32}$/);
      expect(await nova.rows`list --minimal --name ${name}`).toEqual([{ ID: id, Name: name }]);
      const fields = { ID: id, Name: name, Metadata: "{'role': 'web'}" };
      expect(await nova.rows`list --fields name,metadata --name ${name}`).toEqual([fields]);
      expect(listed(await nova.rows`list --changes-since 2099-01-01T00:00:00Z`)).toEqual([]);
      if (first) return;
      expect(listed(await nova.rows`list --tags a,b`)).toEqual([name]);
      expect(listed(await nova.rows`list --name ${mine} --not-tags a`)).toEqual([`other-${version}`]);
      expect(listed(await nova.rows`list --locked true`)).toEqual([]);
      expect(listed(await nova.rows`list --host two --name ${name}`)).toEqual([name]);
    });
    it("update, meta, server-tag-*", async () => {
      await nova`update --name renamed ${name}`;
      await nova`update --name ${name} renamed`;
      await nova`meta ${name} set tier=front`;
      await nova`meta ${name} delete role`;
      expect(await shown()).toMatchObject({ name, metadata: '{"tier": "front"}' });
      await nova`host-meta ${(await becoming("ACTIVE"))["OS-EXT-SRV-ATTR:host"]} set rack=7`;
      expect((await shown()).metadata).toContain('"rack": "7"');
      if (first) return;
      await nova`update --description new ${name}`;
      expect((await shown()).description).toBe("new");
      await nova`server-tag-add ${name} c`;
      await nova`server-tag-delete ${name} a`;
      expect((await nova.rows`server-tag-list ${name}`).map(({ Tag }) => Tag).sort()).toEqual(["b", "c"]);
      await nova`server-tag-set ${name} x y`;
      expect((await nova.rows`server-tag-list ${name}`).map(({ Tag }) => Tag).sort()).toEqual(["x", "y"]);
      await nova`server-tag-delete-all ${name}`;
      expect(await nova.rows`server-tag-list ${name}`).toEqual([]);
    });
    it.each([
      { action: "stop", status: "SHUTOFF", back: "start" },
      { action: "pause", status: "PAUSED", back: "unpause" },
      { action: "suspend", status: "SUSPENDED", back: "resume" },
      { action: "rescue", status: "RESCUE", back: "unrescue" },
    ])("$action is seen as $status until $back", async ({ action, status, back }) => {
      await nova`${action} ${name}`;
      await becoming(status);
      expect((await shown()).status).toBe(status);
      expect(await nova.fails`${action} ${name}`).toContain("while it is in vm_state");
      await nova`${back} ${name}`;
      await becoming("ACTIVE");
      expect((await shown()).status).toBe("ACTIVE");
    });
    it("rescue with a password, reboot, rebuild, reset-state", async () => {
      expect(await nova.properties`rescue --image demo --password pw ${name}`).toEqual({ adminPass: "pw" });
      await becoming("RESCUE");
      await nova`unrescue ${name}`;
      await becoming("ACTIVE");
      for (const hard of [[], ["--hard"]]) {
        expect(await nova`reboot ${hard} ${name}`).toContain("has been accepted");
        await becoming("ACTIVE");
      }
      const rebuilt = await nova.properties`rebuild --rebuild-password new --meta k=v ${name} demo`;
      expect(rebuilt).toMatchObject({ adminPass: "new", metadata: '{"k": "v"}' });
      await becoming("ACTIVE");
      expect(await nova`reset-state ${name}`).toContain("new state is error");
      expect((await shown()).status).toBe("ERROR");
      await nova`reset-state --active ${name}`;
      expect((await shown()).status).toBe("ACTIVE");
    });
    it("lock, unlock", async () => {
      await nova`lock ${first ? [] : ["--reason", "keep"]} ${name}`;
      const is = async () => {
        const { server } = await (await edge.call("GET", `/compute/v2.1/servers/${id}`, { minor: 73 })).json();
        return [server.locked, server.locked_reason];
      };
      expect(await is()).toEqual([true, first ? null : "keep"]);
      if (!first) expect(await shown()).toMatchObject({ locked: "True", locked_reason: "keep" });
      await nova`unlock ${name}`;
      expect(await is()).toEqual([false, null]);
    });
    it("console-log, get-vnc-console, diagnostics, passwords", async () => {
      expect(await nova`console-log ${name}`).toContain("Linux version");
      expect((await nova`console-log --length 1 ${name}`).split("\n")).toHaveLength(1);
      const [link] = await nova.rows`get-vnc-console ${name} novnc`;
      expect(link).toMatchObject({ Type: "novnc", Url: expect.stringContaining(`${edge.url}/vnc_auto.html?token=`) });
      expect((await fetch(link?.Url ?? "")).status).toBe(200);
      expect(await nova.fails`get-vnc-console ${name} xvpvnc`).toContain("Unavailable console type xvpvnc");
      expect(await nova.fails`get-spice-console ${name} spice-html5`).toContain("Unavailable console type");
      expect(await nova.fails`get-serial-console ${name}`).toContain("Unavailable console type");
      const told = await nova.properties`diagnostics ${name}`;
      expect(told).toMatchObject(
        first ? { memory: expect.stringMatching(/^\d+$/) } : { state: "running", driver: "fake", num_cpus: "1" },
      );
      expect(await nova`get-password ${name}`).toBe("");
      await nova`clear-password ${name}`;
    });
    it("what there is no network and no volume for is empty", async () => {
      expect(await nova.rows`interface-list ${name}`).toEqual([]);
      expect(await nova.rows`list-secgroup ${name}`).toEqual([]);
      expect(await nova.rows`volume-attachments ${name}`).toEqual([]);
    });
    it("image-create, backup", async () => {
      await nova`image-create --metadata k=v ${name} shot-${version}`;
      await becoming("ACTIVE");
      await nova`backup ${name} back-${version} daily 1`;
      await becoming("ACTIVE");
      const os = clients.shell("openstack");
      for (const kind of ["shot", "back"]) {
        expect(await os.json`image list --name ${kind}-${version}`).toEqual([
          expect.objectContaining({ Status: "active" }),
        ]);
      }
    });
    it("shelve, shelve-offload, unshelve", async () => {
      await nova`shelve ${name}`;
      await becoming("SHELVED");
      await nova`shelve-offload ${name}`;
      await becoming("SHELVED_OFFLOADED");
      expect((await shown()).status).toBe("SHELVED_OFFLOADED");
      await nova`unshelve ${name}`;
      await becoming("ACTIVE");
      expect((await shown()).status).toBe("ACTIVE");
    });
    it("instance-action-list, instance-action", async () => {
      const rows = await nova.rows`instance-action-list ${name}`;
      const actions = rows.map((row) => row.Action);
      expect(actions).toEqual(expect.arrayContaining(["create", "stop", "start", "rebuild", "lock", "createImage"]));
      const request = rows.find((row) => row.Action === "create")?.Request_ID ?? "";
      const action = await nova.properties`instance-action ${name} ${request}`;
      expect(action).toMatchObject({ action: "create", request_id: request, instance_uuid: id });
      expect(action.events).toContain("compute__do_build_and_run_instance");
    });
    it("resize, migrate, live-migration, and all of a host at once", async () => {
      const host = async () => (await becoming("ACTIVE"))["OS-EXT-SRV-ATTR:host"];
      const from = await host();
      const other = from === "one" ? "two" : "one";
      const arrives = (at: string) => until(async () => (await host()) === at, `it is at ${at}`);
      await nova`resize ${name} 2`;
      await becoming("VERIFY_RESIZE");
      await nova`resize-revert ${name}`;
      expect(await host()).toBe(from);
      await nova`migrate ${name}`;
      await becoming("VERIFY_RESIZE");
      await nova`resize-confirm ${name}`;
      expect(await host()).toBe(other);
      if (first)
        expect(await nova.fails`live-migration ${name}`).toContain("no storage that the two hosts share (HTTP 400)");
      await nova`live-migration ${first ? "--block-migrate" : []} ${name}`;
      await arrives(from);
      expect(await nova.fails`evacuate ${name}`).toContain("is still in use. (HTTP 400)");
      expect(await nova.fails`resize-confirm ${name}`).toContain("(HTTP 409)");
      const row = async (command: string, of: string) =>
        (await nova.rows`${command.split(" ")} ${of}`).find((one) => Object.values(one).includes(id));
      expect(await row("host-evacuate", from)).toMatchObject({
        ...{ "Evacuate Accepted": "False", "Error Message": expect.stringContaining("is still in use") },
      });
      expect(await row(`host-evacuate-live${first ? " --block-migrate" : ""}`, from)).toMatchObject({
        "Live Migration Accepted": "True",
      });
      await arrives(other);
      expect(await row("host-servers-migrate", other)).toMatchObject({ "Migration Accepted": "True" });
      await becoming("VERIFY_RESIZE");
      await nova`resize-confirm ${name}`;
      expect(await host()).toBe(from);
      const moves = (await nova.rows`migration-list`).filter((one) => one["Instance UUID"] === id);
      const refused = first ? ["error"] : [];
      const alive = ["completed", "completed", ...refused];
      expect(moves.map((one) => one.Status)).toEqual(["confirmed", ...alive, "confirmed", "reverted"]);
      if (first) return;
      expect(moves.map((one) => one.Type)).toEqual(expect.arrayContaining(["resize", "migration", "live-migration"]));
      expect(await nova.rows`server-migration-list ${name}`).toEqual([]);
      expect(await nova.fails`server-migration-show ${name} 1`).toContain("(HTTP 404)");
      expect(await nova.fails`live-migration-abort ${name} 1`).toContain("(HTTP 409)");
      expect(await nova.fails`live-migration-force-complete ${name} 1`).toContain("(HTTP 409)");
    });
    it("delete, restore, force-delete", async () => {
      expect(await nova`delete ${name}`).toContain("has been accepted");
      await becoming("SOFT_DELETED");
      await nova`restore ${id}`;
      await becoming("ACTIVE");
      await nova`force-delete ${name}`;
      await gone(edge, name);
      await nova`delete --all-tenants other-${version}`;
      await nova`force-delete ${(await becomes(edge, `other-${version}`, "SOFT_DELETED")).id}`;
      await gone(edge, `other-${version}`);
    });
  });

  it("version-list", async () => {
    const [row] = (await clients.shell("nova").rows`version-list`).slice(-1);
    expect(row).toMatchObject({ Id: "v2.1", Status: "CURRENT", "Min Version": "2.1" });
  });
});
