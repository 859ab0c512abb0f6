/** What a server is to do by itself, by the options that say when. */
import { env } from "cloudflare:test";
import { expect, it } from "vitest";
import { dueOf } from "../../functions/conductor/due.ts";
import { newRecord, type ServerRecord } from "../../functions/conductor/record.ts";
import { config } from "../../functions/config.ts";
import { specOf } from "./specs.ts";

const SINCE = "2026-01-01T00:00:00.000Z";
const OFF = {
  ...config(env),
  REBOOT_TIMEOUT: 0,
  RESCUE_TIMEOUT: 0,
  RECLAIM_INSTANCE_INTERVAL: 0,
  SHELVED_OFFLOAD_TIME: -1,
};
const record = (change: Partial<ServerRecord>): ServerRecord => ({
  ...newRecord(specOf()),
  vm_state: "active",
  task_state: null,
  ...change,
});

it.each([
  ["REBOOT_TIMEOUT", { task_state: "rebooting", updated_at: SINCE }, "reboot_hard"],
  ["REBOOT_TIMEOUT", { task_state: "reboot_started", updated_at: SINCE }, "reboot_hard"],
  ["RESCUE_TIMEOUT", { vm_state: "rescued", launched_at: SINCE }, "unrescue"],
  ["RECLAIM_INSTANCE_INTERVAL", { vm_state: "soft-delete", deleted_at: SINCE }, "delete"],
  ["SHELVED_OFFLOAD_TIME", { vm_state: "shelved", shelved: { image: "i", at: SINCE } }, "shelve_offload"],
] as const)("%s: %j ends in %s when its time is over", (option, change, action) => {
  expect(dueOf(record(change), { ...OFF, [option]: 30 })).toEqual({ at: Date.parse(SINCE) + 30_000, action });
  expect(dueOf(record(change), OFF)).toBeNull();
  expect(dueOf(record({ ...change, task_state: "rebooting_hard" }), { ...OFF, [option]: 30 })).toBeNull();
});

it("a shelved server leaves its host at once, where that is what operators want", () => {
  const shelved = record({ vm_state: "shelved", shelved: { image: "i", at: SINCE } });
  expect(dueOf(shelved, { ...OFF, SHELVED_OFFLOAD_TIME: 0 })?.at).toBe(Date.parse(SINCE));
});

it("a server that rests has nothing to do", () => {
  const on = { ...OFF, REBOOT_TIMEOUT: 1, RESCUE_TIMEOUT: 1, RECLAIM_INSTANCE_INTERVAL: 1, SHELVED_OFFLOAD_TIME: 1 };
  for (const vm_state of ["active", "stopped", "error"] as const) expect(dueOf(record({ vm_state }), on)).toBeNull();
});
