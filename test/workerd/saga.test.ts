import { describe, expect, it } from "vitest";
import { drive, type Flow, MAX_ATTEMPTS, type SagaRow, type SagaStore, Wait } from "../../functions/conductor/saga.ts";
import { err, ok } from "../../functions/result.ts";

type World = { things: Set<string>; failures: string[]; ran: string[] };
type Memo = { seen: string[] };

/** Three steps that each put a thing into the world and can take it out again. */
function flowOf(failAt: string | null, times = 1): Flow<World, Memo> {
  const step = (name: string) => ({
    name,
    async run(world: World, memo: Memo) {
      for (let i = 0; i < times; i++) {
        world.ran.push(name);
        world.things.add(name);
      }
      // The worst kind of failure: the work was done, and then it failed.
      return name === failAt ? err({ code: 500, message: `${name} failed` }) : ok({ seen: [...memo.seen, name] });
    },
    async undo(world: World) {
      for (let i = 0; i < times; i++) world.things.delete(name);
    },
  });
  return {
    name: "test",
    steps: ["one", "two", "three"].map(step),
    failed: (world, failure) => void world.failures.push(failure.message),
  };
}

function storeOf(
  row: SagaRow<Memo>,
): SagaStore<Memo> & { row: SagaRow<Memo> | null; published: number; saves: number } {
  return {
    row,
    published: 0,
    saves: 0,
    load() {
      return this.row;
    },
    save(next) {
      // Through JSON, as the journal is.
      this.row = JSON.parse(JSON.stringify(next));
      this.saves++;
    },
    end() {
      this.row = null;
    },
    async publish() {
      this.published++;
    },
  };
}

const world = (): World => ({ things: new Set(), failures: [], ran: [] });
const fresh = (): SagaRow<Memo> => ({
  id: "s",
  request_id: null,
  flow: "test",
  phase: "forward",
  next: 0,
  memo: { seen: [] },
  failure: null,
  started_at: 0,
  attempts: 0,
});

it("runs every step once, then publishes and forgets", async () => {
  const [w, store] = [world(), storeOf(fresh())];
  expect(await drive(flowOf(null), w, store, "s")).toEqual({ state: "done" });
  expect(w.ran).toEqual(["one", "two", "three"]);
  expect(store).toMatchObject({ row: null, published: 1 });
});

describe.each([1, 2])("with every run and undo done %i times", (times) => {
  it.each(["one", "two", "three"])("leaves nothing behind when %s fails", async (failAt) => {
    const [w, store] = [world(), storeOf(fresh())];
    expect(await drive(flowOf(failAt, times), w, store, "s")).toEqual({ state: "done" });
    expect(w.things).toEqual(new Set());
    expect(w.failures).toEqual([`${failAt} failed`]);
    expect(store).toMatchObject({ row: null, published: 1 });
  });
});

/** Cuts the object off at its n-th journal write, as a crash would, and drives again from what was written. */
describe.each([null, "one", "two", "three"])("cut off at any write, failing at %s", (failAt) => {
  it.each(Array.from({ length: 9 }, (_, i) => i))("write %i", async (cut) => {
    const w = world();
    const store = storeOf(fresh());
    const save = store.save;
    let left = cut;
    store.save = function (next) {
      if (left-- === 0) throw new Error("cut off before the write");
      save.call(this, next);
    };
    await drive(flowOf(failAt), w, store, "s").catch(() => undefined);
    store.save = save;
    expect(await drive(flowOf(failAt), w, store, "s")).toEqual({ state: "done" });
    expect([...w.things]).toEqual(failAt === null ? ["one", "two", "three"] : []);
    expect(store).toMatchObject({ row: null, published: 1 });
  });
});

it("tries a step that throws again, and fails it when it has thrown too often", async () => {
  const [w, store] = [world(), storeOf(fresh())];
  const flow = flowOf(null);
  const step = flow.steps[1];
  if (!step) throw new Error("no step");
  step.run = async () => {
    w.ran.push("throws");
    throw new Error("the network is down");
  };
  const delays: number[] = [];
  for (;;) {
    const drove = await drive(flow, w, store, "s");
    if (drove.state !== "retry") break;
    delays.push(drove.delayMs);
  }
  expect(w.ran.filter((name) => name === "throws")).toHaveLength(MAX_ATTEMPTS);
  expect(delays.every((delay, i) => delay > 0 && delay >= (delays[i - 1] ?? 0))).toBe(true);
  expect(w.things).toEqual(new Set());
  expect(w.failures).toEqual([`The step two did not succeed in ${MAX_ATTEMPTS} attempts.`]);
});

it("waits without end for what it waits for", async () => {
  const [w, store] = [world(), storeOf(fresh())];
  const flow = flowOf(null);
  const [first] = flow.steps;
  if (!first) throw new Error("no step");
  const run = first.run;
  let asked = 0;
  first.run = async (context, memo) => {
    if (asked++ < 3 * MAX_ATTEMPTS) throw new Wait("for a host");
    return run(context, memo);
  };
  let drove = await drive(flow, w, store, "s");
  while (drove.state === "retry") drove = await drive(flow, w, store, "s");
  expect(drove).toEqual({ state: "done" });
  expect(w.failures).toEqual([]);
});

it("writes nothing once another saga has the server", async () => {
  const [w, store] = [world(), storeOf(fresh())];
  const flow = flowOf(null);
  const [first] = flow.steps;
  if (!first) throw new Error("no step");
  first.run = async () => {
    store.row = { ...fresh(), id: "other" };
    return ok({ seen: ["late"] });
  };
  expect(await drive(flow, w, store, "s")).toEqual({ state: "superseded" });
  expect(store.row).toEqual({ ...fresh(), id: "other" });
  expect(store.published).toBe(0);
});
