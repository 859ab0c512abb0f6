/** The config drive as the agent makes it: OpenStack's layout, version by version, and who may read it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { configDriveFiles, type DriveFiles, SEED_BYTES } from "../../agent/config-drive.ts";
import { makeConfigDrive, writeConfigDrive } from "../../agent/config-drive-image.ts";
import { FakeDriver } from "../../agent/drivers/fake/fake-driver.ts";
import { type ConfigDrive, METHODS } from "../../functions/protocol/methods.ts";
import {
  ADMIN_PASS,
  FILE_BYTES,
  FULL_DRIVE,
  PUBLIC_KEY,
  specWithDrive,
  USER_DATA,
  DRIVE_UUID as uuid,
} from "../config-drive.ts";

const seed = Buffer.alloc(SEED_BYTES, 7);
const signal = new AbortController().signal;

function files(drive: Partial<ConfigDrive> = {}, metadata: Record<string, string> = { role: "web" }): DriveFiles {
  return configDriveFiles({ uuid, spec: specWithDrive(null, { metadata }), drive: { ...FULL_DRIVE, ...drive }, seed });
}
const json = (from: DriveFiles, path: string) => JSON.parse(String(from.get(path)));

describe("configDriveFiles", () => {
  it.each([
    ["2012-08-10", ["meta_data.json", "user_data"]],
    ["2013-04-04", ["meta_data.json", "user_data"]],
    ["2013-10-17", ["meta_data.json", "user_data", "vendor_data.json"]],
    ["2015-10-15", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json"]],
    ["2016-06-30", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json"]],
    ["2016-10-06", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json"]],
    ["2017-02-22", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json"]],
    ["2018-08-27", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json"]],
    ["2020-10-14", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json"]],
    ["latest", ["meta_data.json", "network_data.json", "user_data", "vendor_data.json", "vendor_data2.json"]],
  ])("writes what Nova writes for %s", (version, names) => {
    const folder = `openstack/${version}/`;
    const found = [...files().keys()].filter((path) => path.startsWith(folder));
    expect(found.map((path) => path.slice(folder.length)).sort()).toEqual(names);
  });

  it.each([
    ["2012-08-10", []],
    ["2013-04-04", ["random_seed"]],
    ["2013-10-17", ["random_seed"]],
    ["2015-10-15", ["project_id", "random_seed"]],
    ["2016-06-30", ["devices", "project_id", "random_seed"]],
    ["2018-08-27", ["devices", "project_id", "random_seed"]],
    ["2020-10-14", ["dedicated_cpus", "devices", "project_id", "random_seed"]],
    ["latest", ["dedicated_cpus", "devices", "project_id", "random_seed"]],
  ])("has in meta_data.json of %s what came by then", (version, later) => {
    const always = ["admin_pass", "availability_zone", "files", "hostname", "keys", "launch_index", "meta", "name"];
    const known = Object.keys(json(files(), `openstack/${version}/meta_data.json`));
    expect(known.sort()).toEqual([...always, "public_keys", "uuid", ...later].sort());
  });

  it("tells all it was given", () => {
    const all = files();
    expect(json(all, "openstack/latest/meta_data.json")).toEqual({
      uuid,
      meta: { role: "web" },
      files: [
        { path: "/etc/motd", content_path: "/content/0000" },
        { path: "/../../etc/bytes", content_path: "/content/0001" },
      ],
      admin_pass: ADMIN_PASS,
      public_keys: { mine: PUBLIC_KEY },
      keys: [{ name: "mine", type: "ssh", data: PUBLIC_KEY }],
      hostname: "web-1",
      name: "web ünït",
      launch_index: 2,
      availability_zone: "mars",
      random_seed: seed.toString("base64"),
      project_id: "demo",
      devices: [],
      dedicated_cpus: [],
    });
    expect(String(all.get("openstack/latest/user_data"))).toBe(USER_DATA);
    expect(String(all.get("openstack/content/0000"))).toBe("hello\n");
    expect(all.get("openstack/content/0001")).toEqual(FILE_BYTES);
    expect(json(all, "openstack/latest/network_data.json")).toEqual({ links: [], networks: [], services: [] });
    expect(json(all, "openstack/latest/vendor_data.json")).toEqual({});
    expect(json(all, "openstack/latest/vendor_data2.json")).toEqual({ static: {} });
  });

  it("leaves out what was not given", () => {
    const bare = files({ keys: [], admin_pass: null, files: [], user_data: null }, {});
    const meta = json(bare, "openstack/latest/meta_data.json");
    for (const name of ["meta", "files", "admin_pass", "public_keys", "keys"]) expect(meta).not.toHaveProperty(name);
    expect([...bare.keys()].filter((path) => /user|content/.test(path))).toEqual([]);
    expect(json(bare, "ec2/latest/meta-data.json")).not.toHaveProperty("public-keys");
  });

  it("has Amazon's layout beside it", () => {
    const all = files();
    for (const version of ["2009-04-04", "latest"]) {
      expect(String(all.get(`ec2/${version}/user-data`))).toBe(USER_DATA);
      expect(json(all, `ec2/${version}/meta-data.json`)).toMatchObject({
        "instance-id": "i-6f1c2a3b000040008",
        "ami-id": "ami-5c2f8c1e9d474a65b",
        hostname: "web-1",
        "instance-type": "m1.tiny",
        "public-keys": { "0": { "openssh-key": PUBLIC_KEY } },
        placement: { "availability-zone": "mars" },
      });
    }
  });

  it("takes no path of the tenant's for its own", () => {
    expect([...files().keys()].filter((path) => path.includes("..") || path.startsWith("/"))).toEqual([]);
  });
});

describe("in a call", () => {
  const { params } = METHODS.spawn;
  it("is absent where the edge is older than it", () => {
    const { config_drive: _, ...older } = specWithDrive();
    expect(params.parse(older).config_drive).toBeNull();
    const { image } = older;
    expect(METHODS.rescue.params.parse({ image })).toEqual({ image, spec: null });
  });
  it.each([
    ["user data that is too long", { user_data: "A".repeat(65_536) }],
    ["user data that is no base64", { user_data: "#!" }],
    ["too many files", { files: Array.from({ length: 5001 }, () => ({ path: "", contents: "" })) }],
    ["a key of a kind that is not known", { keys: [{ name: "a", type: "gpg", data: "" }] }],
  ])("is refused with %s", (_, change) => {
    const spec = specWithDrive();
    expect(params.safeParse(spec).success).toBe(true);
    expect(params.safeParse({ ...spec, config_drive: { ...FULL_DRIVE, ...change } }).success).toBe(false);
  });
});

describe("on a host", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "edgenova-drive-"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(dir, { recursive: true, force: true });
  });

  it("is for its owner alone, and replaces what was there", async () => {
    const tree = join(dir, "tree");
    await writeConfigDrive(tree, { uuid, spec: specWithDrive() });
    await writeConfigDrive(tree, { uuid, spec: specWithDrive({ files: [] }) });
    const meta = join(tree, "openstack/latest/meta_data.json");
    expect(statSync(meta).mode & 0o777).toBe(0o600);
    expect(statSync(join(tree, "openstack")).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(meta, "utf8")).random_seed).toHaveLength(684);
    expect(existsSync(join(tree, "openstack/content"))).toBe(false);
  });

  it("says what to install when nothing can make the image, and leaves no secret behind", async () => {
    vi.stubEnv("PATH", dir);
    const made = makeConfigDrive(join(dir, "disk.config"), { uuid, spec: specWithDrive() }, signal);
    await expect(made).rejects.toMatchObject({
      code: "HypervisorUnavailable",
      message: "no tool makes the config drive; install one: apt-get install genisoimage",
    });
    expect(readdirSync(dir)).toEqual([]);
  });

  it("is another one under the fake driver while the guest is rescued, if it has one", async () => {
    const driver = new FakeDriver({ stateDir: dir, log: () => {}, image: async () => "/dev/null" });
    await driver.init();
    const drives = join(dir, "config-drives");
    const read = (name: string) =>
      JSON.parse(readFileSync(join(drives, name, "openstack/latest/meta_data.json"), "utf8")).admin_pass;
    const spec = specWithDrive({ admin_pass: "rescue-me", files: [] });
    const rescue = () => driver.rescue(uuid, { image: spec.image, spec }, signal);
    const ends = {
      unrescue: () => driver.unrescue(uuid),
      spawn: () => driver.powerOff(uuid).then(() => driver.spawn(uuid, specWithDrive(), signal)),
      rebuild: () => driver.rebuild(uuid, { spec: specWithDrive(), start: true }, signal),
    };
    try {
      await driver.spawn(uuid, specWithDrive(), signal);
      for (const end of Object.values(ends)) {
        for (let i = 0; i < 2; i++) await rescue();
        expect([read(uuid), read(`${uuid}.rescue`)]).toEqual([ADMIN_PASS, "rescue-me"]);
        expect(readFileSync(join(dir, "guests.json"), "utf8")).not.toContain("rescue-me");
        await end();
        expect(readdirSync(drives)).toEqual([uuid]);
      }
      await driver.rescue(uuid, { image: spec.image, spec: null }, signal);
      expect(readdirSync(drives)).toEqual([uuid]);
      await driver.unrescue(uuid);
      await rescue();
      await driver.destroy(uuid);
      expect(readdirSync(drives)).toEqual([]);
      await driver.spawn(uuid, specWithDrive(null), signal);
      await rescue();
      expect(readdirSync(drives)).toEqual([]);
    } finally {
      await driver.close();
    }
  });

  it("is a tree under the fake driver, which keeps what is told once nowhere else", async () => {
    const context = { stateDir: dir, log: () => {}, image: async () => "/dev/null" };
    const driver = new FakeDriver(context);
    await driver.init();
    const tree = join(dir, "config-drives", uuid);
    try {
      await driver.spawn(uuid, specWithDrive(), signal);
      expect(readFileSync(join(tree, "openstack/latest/user_data"), "utf8")).toBe(USER_DATA);
      const stored = readFileSync(join(dir, "guests.json"), "utf8");
      expect(JSON.parse(stored).guests).toMatchObject([{ uuid, spec: { config_drive: null } }]);
      expect(stored).not.toContain("admin_pass");
      await driver.destroy(uuid);
      expect(existsSync(tree)).toBe(false);
      await expect(
        driver.spawn(uuid, specWithDrive({}, { metadata: { "fake:fail": "spawn" } }), signal),
      ).rejects.toThrow();
      expect(existsSync(tree)).toBe(false);
    } finally {
      await driver.close();
    }
  });
});
