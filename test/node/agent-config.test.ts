import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { loadConfig, parseConfig } from "../../agent/config.ts";

it("has Nova's defaults when nothing is told", () => {
  expect(parseConfig("")).toMatchObject({
    max_concurrent_builds: 10,
    max_concurrent_snapshots: 5,
    sync_power_state_interval: 600,
    update_resources_interval: 60,
    libvirt: { connection_uri: "qemu:///system", virt_type: "auto", wait_soft_reboot_seconds: 120 },
  });
});

it("takes 0 as Nova's tick of a minute, and -1 as never", () => {
  expect(parseConfig("sync_power_state_interval = 0").sync_power_state_interval).toBe(60);
  expect(parseConfig("sync_power_state_interval = -1").sync_power_state_interval).toBe(-1);
});

it.each([
  ["max_concurrent_builds = -1", /agent\.toml: max_concurrent_builds: Too small/],
  ["max_concurrent_snapshots = 1001", /agent\.toml: max_concurrent_snapshots: Too big/],
  ["[vnc]\nmax_sessions = 0", /vnc: max_sessions: Too small/],
  ["migration_inbound_addr = '0.0.0.0'", /migration_inbound_addr: It must be one that others can dial/],
  ["max_concurent_builds = 3", /Unrecognized key: "max_concurent_builds"/],
  ["[libvirt]\nvirt_type = 'xen'", /libvirt: virt_type: Invalid option/],
  ["a = 1\nb = ", /agent\.toml, line 2: /],
  ["x".repeat(300_000), /longer than/],
])("refuses %.40s in words", (text, wrong) => {
  expect(() => parseConfig(text)).toThrow(wrong);
});

it("reads agent.toml from the state directory, and says so when a named file is not there", () => {
  const dir = mkdtempSync(join(tmpdir(), "edgenova-config-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  expect(loadConfig(dir).max_concurrent_builds).toBe(10);
  writeFileSync(join(dir, "agent.toml"), "max_concurrent_builds = 3\n");
  expect(loadConfig(dir).max_concurrent_builds).toBe(3);
  expect(() => loadConfig(dir, join(dir, "other.toml"))).toThrow(/cannot read .*other\.toml: ENOENT/);
});
