/** How long the agent's machine has been up (agent/host-uptime.ts). */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { hostUptime } from "../../agent/host-uptime.ts";

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "edgenova-"));
  vi.stubEnv("PATH", dir);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

function install(script: string): void {
  const path = join(dir, "uptime");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

it("is what uptime(1) prints, in the C locale", async () => {
  install('echo " 10:20:30 up 2:22, $LC_ALL"');
  expect(await hostUptime()).toBe(" 10:20:30 up 2:22, C\n");
});

it("fits the protocol, however much is printed", async () => {
  install('i=0; while [ $i -lt 100 ]; do printf "0123456789"; i=$((i+1)); done');
  expect(await hostUptime()).toHaveLength(255);
});

it("is not supported where there is no uptime(1), or it fails", async () => {
  await expect(hostUptime()).rejects.toMatchObject({ code: "NotSupported" });
  install("exit 1");
  await expect(hostUptime()).rejects.toMatchObject({ code: "NotSupported" });
});
