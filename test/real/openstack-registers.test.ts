/** Debian's `openstack`: flavors, key pairs and server groups. */
import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_PROJECT, startTestEdge, type TestEdge } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients, type Version } from "./clients.ts";
import { needs } from "./requirement.ts";

const VERSIONS: Version[] = ["default", "highest"];
const SSH_KEYGEN = "/usr/bin/ssh-keygen";
const ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPleMVojgwA/JK5qs+kEdfDI/s7XQl0f9b98CPdmaOtV a@b";
const ED25519_MD5 = "1f:48:d4:16:56:a2:06:e2:89:35:33:3e:0a:db:5e:04";

describe.skipIf(clientsMissing())("openstack", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let clients: Clients;

  beforeAll(async () => {
    edge = await startTestEdge();
    clients = await startClients(edge.url);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });
  const names = (rows: { Name: string }[]) => rows.map(({ Name }) => Name).sort();

  describe.each(VERSIONS)("at its %s microversion", (version) => {
    const highest = version === "highest";
    let os: Shell;
    beforeAll(() => {
      os = clients.shell("openstack", version);
    });

    it("flavor create, set, show, list, unset, delete", async () => {
      const size = ["--id", "77", "--ram", "256", "--vcpus", "2", "--disk", "1", "--ephemeral", "1", "--swap", "5"];
      const said = highest ? ["--description", "small"] : [];
      const made = await os.json`flavor create ${size} ${said} --property a=b --private mini`;
      expect(made).toMatchObject({
        id: "77",
        name: "mini",
        ram: 256,
        vcpus: 2,
        disk: 1,
        swap: 5,
        "OS-FLV-EXT-DATA:ephemeral": 1,
        "os-flavor-access:is_public": false,
        description: highest ? "small" : null,
        properties: { a: "b" },
      });
      expect(await os.fails`flavor create ${size} mini`).toContain("already exists.");
      await os`flavor set --property c=d --project demo mini`;
      if (highest) await os`flavor set --description smaller mini`;
      expect(await os.json`flavor show mini`).toMatchObject({
        access_project_ids: [DEMO_PROJECT],
        description: highest ? "smaller" : null,
        properties: { a: "b", c: "d" },
      });
      if (highest) {
        expect(await os.fails`flavor set --property hw:cpu_policy=no mini`).toContain("'no' is not one of: dedicated");
      }
      await os`flavor unset --property a --project demo mini`;
      expect(await os.json`flavor show mini`).toMatchObject({ access_project_ids: [], properties: { c: "d" } });
      expect(names(await os.json`flavor list`)).not.toContain("mini");
      expect(names(await os.json`flavor list --private`)).toEqual(["mini"]);
      expect(names(await os.json`flavor list --min-ram 8000`)).toEqual(["m1.large", "m1.xlarge"]);
      expect(names(await os.json`flavor list --all`)).toContain("mini");
      expect(names(await os.json`flavor list --all --limit 2 --marker 2`)).toEqual(["m1.large", "m1.medium"]);
      expect(await os.json`flavor list --all --long`).toContainEqual({
        ID: "77",
        Name: "mini",
        RAM: 256,
        Disk: 1,
        Ephemeral: 1,
        VCPUs: 2,
        "Is Public": false,
        Swap: 5,
        "RXTX Factor": 1,
        Properties: { c: "d" },
      });
      await os`flavor delete mini`;
      expect(names(await os.json`flavor list --all`)).not.toContain("mini");
      expect(await os.fails`flavor show mini`).toContain("No Flavor found for mini");
    });

    it("keypair create from a public key, list, show, delete", async () => {
      const file = join(clients.home, "imported.pub");
      writeFileSync(file, `${ED25519}\n`);
      const made = await os.json`keypair create --public-key ${file} imported`;
      expect(made).toMatchObject({ name: "imported", type: "ssh", fingerprint: ED25519_MD5 });
      const row = { Name: "imported", Fingerprint: ED25519_MD5, Type: "ssh" };
      expect(await os.json`keypair list`).toEqual([row]);
      expect(await os.json`keypair list --user admin`).toEqual([row]);
      expect(await os.json`keypair show imported`).toMatchObject({
        ...made,
        created_at: expect.any(String),
        is_deleted: false,
      });
      expect(await os`keypair show --public-key imported`).toBe(ED25519);
      expect(await os.fails`keypair create --public-key ${file} imported`).toContain("already exists");
      await os`keypair delete imported`;
      expect(await os.json`keypair list`).toEqual([]);
      expect(await os.fails`keypair show imported`).toContain("No Keypair found for imported");
    });

    it("server group create, list, show, delete", async () => {
      const rule = highest ? ["--rule", "max_server_per_host=2"] : [];
      const made = await os.json`server group create --policy anti-affinity ${rule} apart`;
      expect(made).toMatchObject({
        name: "apart",
        policy: "anti-affinity",
        rules: highest ? { max_server_per_host: 2 } : {},
        members: [],
        project_id: DEMO_PROJECT,
      });
      expect(await os.json`server group list`).toEqual([{ ID: made.id, Name: "apart", Policy: "anti-affinity" }]);
      const [long] = await os.json`server group list --long --all-projects`;
      expect(long).toMatchObject({ Name: "apart", Members: [], "Project Id": DEMO_PROJECT });
      expect(await os.json`server group show apart`).toEqual(made);
      expect(await os.json`server group create --policy soft-affinity near`).toMatchObject({ policy: "soft-affinity" });
      expect(await os.json`server group list`).toHaveLength(2);
      await os`server group delete apart near`;
      expect(await os.json`server group list`).toEqual([]);
      if (highest) {
        const refused = await os.fails`server group create --policy affinity ${rule} x`;
        expect(refused).toContain("Only anti-affinity policy supports rules.");
      }
    });
  });

  it("keypair create makes a key that ssh-keygen reads, until 2.92", async () => {
    const os = clients.shell("openstack");
    const file = join(clients.home, "key");
    await os`keypair create --private-key ${file} mine`;
    chmodSync(file, 0o600);
    const shown = await os`keypair show --public-key mine`;
    if (needs("the test of a generated key", [SSH_KEYGEN], "openssh-client")) {
      expect(execFileSync(SSH_KEYGEN, ["-y", "-f", file], { encoding: "utf8" }).trim()).toBe(shown);
      const [{ Fingerprint }] = await os.json`keypair list`;
      const told = execFileSync(SSH_KEYGEN, ["-l", "-E", "md5", "-f", file], { encoding: "utf8" });
      expect(told).toContain(`MD5:${Fingerprint}`);
    }
    await os`keypair delete mine`;
    const newest = clients.shell("openstack", "highest");
    expect(await newest.fails`keypair create mine`).toContain("'public_key' is a required property");
  });
});
