/** Filters and weighers of an operator's own, as the README tells to make them: in a folder, and as a Worker. */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ownModule } from "../../functions/scheduler/build.ts";
import { ask, demoImage, ROOT, startTestEdge, type TestEdge } from "../edge.ts";

const V = "/compute/v2.1";
let root: string;

/** A copy of what an operator has, with their lines in wrangler.toml. */
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "edgenova-own-"));
  for (const path of ["functions", "agent", "test/examples", "package.json", "tsconfig.json"]) {
    await cp(join(ROOT, path), join(root, path), { recursive: true });
  }
  // wrangler asks that it is there before it builds what is in it.
  await mkdir(join(root, ".wrangler/assets"), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(root, "node_modules"));
  const toml = await readFile(join(ROOT, "wrangler.toml"), "utf8");
  const ours = toml
    .replace('"all_filters"', '"all_filters, ./test/examples/filters, RackFilter=RACK:fail, LaxFilter=RACK:pass"')
    .replace('"all_weighers"', '"all_weighers, ./test/examples/weighers, RackWeigher=RACK:pass"');
  await writeFile(join(root, "wrangler.toml"), `${ours}\n[[services]]\nbinding = "RACK"\nservice = "rack"\n`);
  // The harness runs [build] where the tests are: here it is run as wrangler does in the operator's folder.
  await promisify(execFile)(process.execPath, ["functions/scheduler/build.ts"], { cwd: root });
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("an operator's own", () => {
  let edge: TestEdge;
  let image: string;
  beforeAll(async () => {
    const vars = {
      SCHEDULER_ENABLED_FILTERS: "ComputeFilter, EvenFilter, RackFilter",
      SCHEDULER_WEIGHT_CLASSES: "LastWeigher, RackWeigher",
    };
    edge = await startTestEdge(vars, { root, others: ["./test/examples/rack.toml"] });
    for (const host of ["a1", "a2", "b1", "b2"]) await edge.agent(host);
    image = await demoImage(edge.cloud);
  });
  afterAll(() => edge?.close());

  async function preview(hints: object = {}) {
    const server = { name: "s", imageRef: image, flavorRef: "1", networks: "none" };
    const body = { server, "os:scheduler_hints": hints };
    const { status, body: answer } = await ask(edge, "POST", `${V}/scheduling`, { body });
    expect(status, JSON.stringify(answer)).toBe(200);
    return answer.scheduling;
  }
  const passed = ({ filters }: { filters: { name: string; out: number }[] }, filter: string) =>
    filters.find(({ name }) => name === filter)?.out;

  it("filter in a folder chooses among the hosts", async () => {
    expect(passed(await preview({ even: "true" }), "EvenFilter")).toBe(2);
    expect(passed(await preview(), "EvenFilter")).toBe(4);
  });
  it("weigher in a folder puts them in order", async () => {
    const { chosen, best } = await preview();
    expect([chosen[0][0], best[0].weighers[0]]).toEqual(["b", { name: "LastWeigher", raw: 98, weighted: 5 }]);
  });
  it("Worker filters and weighs", async () => {
    const { chosen, filters, best } = await preview({ rack: "a", even: "true" });
    expect(chosen).toEqual(["a2"]);
    expect(filters.at(-1)).toEqual({
      name: "RackFilter",
      in: 2,
      out: 1,
      reasons: [{ host: "b2", reason: "the filter's Worker said no" }],
    });
    expect(best[0].weighers).toEqual([]);
    expect((await preview()).best[0].weighers.map((one: { name: string }) => one.name)).toContain("RackWeigher");
  });
  it("Worker that fails counts as the option says: here, as no", async () => {
    const { chosen, explanation } = await preview({ rack: "broken" });
    expect([chosen, explanation]).toEqual([[], expect.stringContaining("the filter's Worker did not answer")]);
  });
});

describe("a Worker that fails", () => {
  let edge: TestEdge;
  beforeAll(async () => {
    const vars = { SCHEDULER_ENABLED_FILTERS: "LaxFilter", SCHEDULER_WEIGHT_CLASSES: "RAMWeigher" };
    edge = await startTestEdge(vars, { root, others: ["./test/examples/rack.toml"] });
    await edge.agent("a1");
  });
  afterAll(() => edge?.close());
  it("lets all through where the option says so", async () => {
    const server = { name: "s", imageRef: await demoImage(edge.cloud), flavorRef: "1", networks: "none" };
    const body = { server, "os:scheduler_hints": { rack: "broken" } };
    expect((await ask(edge, "POST", `${V}/scheduling`, { body })).body.scheduling.chosen).toEqual(["a1"]);
  });
});

describe("what is not there", () => {
  it.each([
    [{ SCHEDULER_ENABLED_FILTERS: "RamFiltre" }, "RamFiltre is not one of ComputeFilter, ComputeCapabilitiesFilter"],
    [{ SCHEDULER_WEIGHT_CLASSES: "RamWeigher" }, "RamWeigher is not one of RAMWeigher, CPUWeigher"],
    [{ SCHEDULER_AVAILABLE_FILTERS: "./nowhere" }, "nor a folder in this build"],
    [{ SCHEDULER_AVAILABLE_FILTERS: "all_filters, X=NOTHING:pass" }, "NOTHING of X is no service binding"],
  ])("as %j keeps the Worker from starting, and is told", async (vars, message) => {
    await expect(startTestEdge(vars)).rejects.toThrow(message);
  });
  it("as a folder that cannot be read fails the build", async () => {
    await expect(ownModule(root, ["./nowhere"])).rejects.toThrow("ENOENT");
  });
});

it("own.ts is as the build writes it for a deployment without folders", async () => {
  expect(await ownModule(ROOT, [])).toBe(await readFile(join(ROOT, "functions/scheduler/own.ts"), "utf8"));
});
