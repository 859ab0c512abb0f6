/** A soft delete at any moment of a move: the guest is off and kept on one host, is restored there, and nothing else is. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import type { ServerRecord } from "../../functions/conductor/record.ts";
import { keepDeleted } from "./keep-deleted.ts";
import { type Moved, MovingWorld } from "./moving.ts";
import { until } from "./scripted-agent.ts";

let world: MovingWorld;
beforeEach(async () => {
  world = await MovingWorld.of(2);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
});

const becomes = (vm_state: string) =>
  until(async () => {
    await runDurableObjectAlarm(world.server());
    const record = await world.show();
    return record?.vm_state === vm_state && record.task_state === null ? (record as ServerRecord) : null;
  }, `it is ${vm_state}`);

/** What comes before each flow, if anything does. */
const BEFORE: [Moved, () => Promise<unknown>][] = [
  ["migrate", async () => undefined],
  ["live_migrate", async () => undefined],
  ["confirm_resize", () => world.done("migrate")],
  ["revert_resize", () => world.done("migrate")],
  ["evacuate", () => world.lose(0)],
];
const CASES = BEFORE.flatMap(([flow, before]) =>
  (FLOWS[flow]?.steps ?? []).map((step) => ({ flow, before, step, name: step.name })),
);

describe.each(CASES)("a soft delete while $flow is at $name", ({ flow, before, step }) => {
  it("keeps the guest, off, where its server says that it is", async () => {
    await before();
    const held = world.hold(step);
    await world.act(flow);
    await until(held.reached, "the step runs");
    await keepDeleted(world.uuid, 1000);
    for (let time = 0; time < 2; time++) expect((await world.server().remove(world.actor())).ok).toBe(true);
    held.release();
    const { host } = await becomes("soft-delete");
    const at = world.agent(0).host === host ? 0 : 1;
    const isAway = flow === "evacuate";
    if (isAway) await world.back(0);
    // As in Nova, a guest whose server was soft-deleted while its host was away stays as it is.
    const kept: [number, "runs" | "off"] = [1024, isAway && at === 0 ? "runs" : "off"];
    await world.holds(at === 0 ? [kept, [0, "none"]] : [[0, "none"], kept]);
    for (const { status } of await world.migrations()) {
      expect(status).toMatch(/^(error|confirmed|reverted|completed|done)$/);
    }
    await keepDeleted(world.uuid, 0);
    await world.deleted();
    await world.holds([
      [0, "none"],
      [0, "none"],
    ]);
  });
});

it("a soft delete that waits for a move ends as an action of its own, and is not asked for twice", async () => {
  const run = FLOWS.live_migrate?.steps.find(({ name }) => name === "migrate");
  if (!run) throw new Error("no step");
  const held = world.hold(run);
  await world.act("live_migrate");
  await until(held.reached, "it runs");
  await keepDeleted(world.uuid, 1000);
  const request = world.actor();
  await world.server().remove(request);
  expect(await world.show()).toMatchObject({ vm_state: "active", task_state: "migrating" });
  held.release();
  expect(await becomes("soft-delete")).toMatchObject({ host: world.agent(1).host, delete_requested: null });
  const told = await world.server().action(world.actor(), request.request_id);
  expect(told?.events).toEqual([expect.objectContaining({ event: "compute_soft_delete_instance", result: "Success" })]);
  expect((await world.server().act(world.actor(), "restore")).ok).toBe(true);
  await becomes("active");
});
