/** Debian's `openstack`: images made, listed, shown, changed, saved and deleted. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEMO_PROJECT, startTestEdge, type TestEdge } from "../edge.ts";
import { CLIENT_TIMEOUT_MS, type Clients, clientsMissing, type Shell, startClients } from "./clients.ts";

describe.skipIf(clientsMissing())("openstack image", { timeout: CLIENT_TIMEOUT_MS }, () => {
  const bytes = randomBytes(3_000_000);
  let edge: TestEdge;
  let clients: Clients;
  let os: Shell;
  let id: string;

  beforeAll(async () => {
    edge = await startTestEdge();
    clients = await startClients(edge.url);
    os = clients.shell("openstack");
    writeFileSync(join(clients.home, "disk"), bytes);
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
  });
  const names = async (...filters: string[]) =>
    (await os.json`image list ${filters}`).map((row: { Name: string }) => row.Name);

  it("create", async () => {
    const format = ["--disk-format", "raw", "--container-format", "bare", "--min-disk", "1", "--min-ram", "64"];
    const file = ["--file", join(clients.home, "disk")];
    const made = await os.json`image create ${file} ${format} --property os=x --tag web --private mine`;
    id = made.id;
    expect(await os.json`image show mine`).toMatchObject({
      id,
      status: "active",
      size: bytes.length,
      disk_format: "raw",
      container_format: "bare",
      min_disk: 1,
      min_ram: 64,
      owner: DEMO_PROJECT,
      visibility: "private",
      protected: false,
      tags: ["web"],
      properties: { os: "x", os_hash_algo: "sha512" },
    });
    await os`image create ${file} --disk-format raw --container-format bare --public later`;
    expect(await os.fails`image create --disk-format floppy --container-format bare x`).toMatch(/floppy/);
  });
  it("list, and its filters", async () => {
    expect(await os.json`image list`).toEqual([
      { ID: expect.any(String), Name: "later", Status: "active" },
      { ID: id, Name: "mine", Status: "active" },
    ]);
    expect(await names("--status", "queued")).toEqual([]);
    expect(await names("--private")).toEqual(["mine"]);
    expect(await names("--public")).toEqual(["later"]);
    expect(await names("--name", "mine", "--tag", "web")).toEqual(["mine"]);
    expect(await names("--tag", "db")).toEqual([]);
    expect(await names("--property", "os=x")).toEqual(["mine"]);
    expect(await names("--sort", "name:desc")).toEqual(["mine", "later"]);
    // The client sorts what it gets: the newest.
    expect(await names("--sort", "name:desc", "--limit", "1")).toEqual(["later"]);
    expect(await names("--marker", "later")).toEqual(["mine"]);
    const [long] = await os.json`image list --long --name mine`;
    expect(long).toMatchObject({ "Disk Format": "raw", Size: bytes.length, Visibility: "private", Tags: ["web"] });
  });
  it("set and unset", async () => {
    await os`image set --name ours --property os=y --property k=v --tag db --min-disk 2 --public mine`;
    const changed = await os.json`image show ours`;
    expect(changed).toMatchObject({ id, min_disk: 2, visibility: "public", properties: { os: "y", k: "v" } });
    expect(changed.tags.sort()).toEqual(["db", "web"]);
    await os`image unset --tag web --property os ours`;
    const { tags, properties } = await os.json`image show ours`;
    expect([tags, properties.os, properties.k]).toEqual([["db"], undefined, "v"]);
    await os`image set --deactivate ours`;
    expect((await os.json`image show ours`).status).toBe("deactivated");
    await os`image set --activate ours`;
    expect((await os.json`image show ours`).status).toBe("active");
    await os`image set --hidden ours`;
    expect([await names(), await names("--hidden")]).toEqual([["later"], ["ours"]]);
    await os`image set --unhidden ours`;
  });
  it("save", async () => {
    await os`image save --file ${join(clients.home, "saved")} ours`;
    expect(readFileSync(join(clients.home, "saved")).equals(bytes)).toBe(true);
  });
  it("delete, unless it is protected", async () => {
    await os`image set --protected ours`;
    expect(await os.fails`image delete ours`).toContain("is protected and cannot be deleted");
    await os`image set --unprotected ours`;
    await os`image delete ours later`;
    expect(await os.json`image list`).toEqual([]);
    expect(await os.fails`image show ours`).toContain("No Image found for ours");
  });
});
