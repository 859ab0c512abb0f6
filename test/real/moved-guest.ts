/** A guest that goes from host to host, how it may go, and whether it lives. */

import { expect, vi } from "vitest";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import type { LiveMigrationOptions } from "../../functions/protocol/move.ts";
import { FULL_DRIVE } from "../config-drive.ts";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import type { Host } from "./moving-hosts.ts";

export const WAIT = { timeout: 60_000, interval: 200 };

/** With a disk of every kind. */
export const movedSpec = (over: Partial<GuestSpec> = {}): GuestSpec => ({
  display_name: "web",
  instance_name: "instance-00000012",
  project_id: "demo",
  vcpus: 1,
  memory_mb: 64,
  disk_gb: 1,
  ephemerals: [{ size: 1, format: "ext4" }],
  swap_mb: 8,
  image: { id: "6f1c2a3b-0000-4000-8000-000000000001", disk_format: "raw", size: 1, sha512: "0".repeat(128) },
  metadata: {},
  config_drive: FULL_DRIVE,
  ...over,
});

/** So little that a busy guest is never through. */
export const SLOW: LiveMigrationOptions = {
  ...LIVE_MIGRATION,
  live_migration_bandwidth: 1,
  live_migration_downtime: 100,
};

export const printed = async (host: Host, uuid: string) => String(await host.call("getConsoleOutput", uuid));

/** It answers, by what is in its memory. */
export async function expectAlive(host: Host, uuid: string): Promise<void> {
  const before = (await printed(host, uuid)).split("NMI").length;
  // One that comes while the guest is busy with another is lost, as on a real machine.
  await vi.waitFor(async () => {
    await host.call("injectNmi", uuid);
    expect((await printed(host, uuid)).split("NMI").length).toBeGreaterThan(before);
  }, WAIT);
}
