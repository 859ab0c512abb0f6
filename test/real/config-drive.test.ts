/** The config drive as an image, read by cloud-init itself. */
import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { makeConfigDrive } from "../../agent/config-drive-image.ts";
import { ADMIN_PASS, FILE_BYTES, PUBLIC_KEY, specWithDrive, USER_DATA, DRIVE_UUID as uuid } from "../config-drive.ts";
import { CLOUD_INIT_NEEDS, labelOf, readByCloudInit } from "./cloud-init.ts";
import { needs } from "./requirement.ts";

const missing = !needs("the config drive's test", CLOUD_INIT_NEEDS.paths, CLOUD_INIT_NEEDS.apt);
const signal = new AbortController().signal;
const base64 = (text: string | Buffer) => Buffer.from(text).toString("base64");

describe.skipIf(missing)("a config drive", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "edgenova-drive-"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(dir, { recursive: true, force: true });
  });
  const make = (spec = specWithDrive()) => makeConfigDrive(join(dir, "disk.config"), { uuid, spec }, signal);

  it("is read by cloud-init with all that is on it", async () => {
    const image = (await make()) ?? "";
    expect(await labelOf(image)).toEqual({ label: "config-2", version: "Joliet Extension" });
    expect(statSync(image).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(["disk.config"]);
    const seen = await readByCloudInit(image);
    expect(seen.version).toBe(2);
    expect(seen.metadata).toMatchObject({
      "instance-id": uuid,
      "local-hostname": "web-1",
      name: "web ünït",
      meta: { role: "web" },
      admin_pass: ADMIN_PASS,
      availability_zone: "mars",
      launch_index: 2,
      project_id: "demo",
    });
    expect(Buffer.from(String(seen.metadata.random_seed), "base64")).toHaveLength(512);
    expect(seen.userdata).toBe(base64(USER_DATA));
    expect(seen.public_keys).toEqual([PUBLIC_KEY]);
    expect(seen.files).toEqual({ "/etc/motd": base64("hello\n"), "/../../etc/bytes": base64(FILE_BYTES) });
    expect([seen.vendordata, seen.vendordata2]).toEqual([{}, { static: {} }]);
    expect(seen.network_config).toEqual({ version: 1, config: [] });
    expect(seen["ec2-metadata"]).toMatchObject({ "instance-id": "i-6f1c2a3b000040008", hostname: "web-1" });
  });

  it("is read by cloud-init when there is next to nothing on it", async () => {
    const bare = specWithDrive({ keys: [], admin_pass: null, files: [], user_data: null }, { metadata: {} });
    const seen = await readByCloudInit((await make(bare)) ?? "");
    expect(seen.metadata).toMatchObject({ "instance-id": uuid, "local-hostname": "web-1" });
    expect(seen).toMatchObject({ userdata: "", public_keys: [], files: {} });
  });

  it("is made by xorrisofs where there is no genisoimage", async () => {
    const bin = mkdtempSync(join(tmpdir(), "edgenova-bin-"));
    try {
      symlinkSync("/usr/bin/xorrisofs", join(bin, "xorrisofs"));
      vi.stubEnv("PATH", bin);
      const image = (await make()) ?? "";
      vi.unstubAllEnvs();
      expect((await labelOf(image)).label).toBe("config-2");
      expect((await readByCloudInit(image)).metadata["instance-id"]).toBe(uuid);
    } finally {
      rmSync(bin, { recursive: true });
    }
  });
});
