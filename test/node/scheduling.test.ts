/** How hosts are chosen, and what operators and owners are told of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let member: string;

beforeAll(async () => {
  edge = await startTestEdge({
    SCHEDULER_ENABLED_FILTERS:
      "ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,SameHostFilter,DifferentHostFilter," +
      "AggregateMultiTenancyIsolation,JsonFilter,NumInstancesFilter,ServerGroupAntiAffinityFilter",
    MAX_INSTANCES_PER_HOST: "3",
    QUOTA_INSTANCES: "50",
    QUOTA_CORES: "-1",
    QUOTA_RAM: "-1",
  });
  await edge.agent("big", { memory_mb: 65_536 });
  await edge.agent("small", { memory_mb: 8_192 });
  image = await demoImage(edge.cloud);
  member = await tokenOf();
});
afterAll(() => edge?.close());

type Hints = Record<string, unknown>;
const bodyOf = (change: object = {}, hints: Hints = {}) => ({
  server: { name: "s", imageRef: image, flavorRef: "1", networks: "none", ...change },
  "os:scheduler_hints": hints,
});
/** Makes a server, waits until it is built or failed, and returns it as an admin sees it. */
async function boot(change: object = {}, hints: Hints = {}, options: CallOptions = {}) {
  const made = await ask(edge, "POST", `${V}/servers`, { minor: 96, ...options, body: bodyOf(change, hints) });
  expect(made.status, JSON.stringify(made.body)).toBe(202);
  const { id } = made.body.server;
  await edge.cloud.built(id, 20_000);
  return show(id);
}
const show = async (id: string, options: CallOptions = {}) =>
  (await ask(edge, "GET", `${V}/servers/${id}`, { minor: 96, ...options })).body.server;
const hostOf = (server: Record<string, unknown>) => server["OS-EXT-SRV-ATTR:host"];
async function remove(...ids: string[]) {
  for (const id of ids) await ask(edge, "DELETE", `${V}/servers/${id}`);
  for (const id of ids) await until(async () => (await ask(edge, "GET", `${V}/servers/${id}`)).status === 404, "gone");
}
const preview = (change: object = {}, hints: Hints = {}, options: CallOptions = {}) =>
  ask(edge, "POST", `${V}/scheduling`, { minor: 96, ...options, body: bodyOf(change, hints) });
async function decisionsOf(id: string) {
  return (await ask(edge, "GET", `${V}/servers/${id}/scheduling`)).body.scheduling;
}
async function flavor(name: string, extra_specs: Record<string, string>, size = {}) {
  const body = { flavor: { name, vcpus: 1, ram: 64, disk: 1, ...size } };
  const { id } = (await ask(edge, "POST", `${V}/flavors`, { body })).body.flavor;
  await ask(edge, "POST", `${V}/flavors/${id}/os-extra_specs`, { body: { extra_specs } });
  return id;
}

describe("a decision", () => {
  it("is kept with the server: filters, weights, the choice", async () => {
    const server = await boot();
    expect(hostOf(server)).toBe("big");
    const [decision, ...older] = await decisionsOf(server.id);
    expect(older).toEqual([]);
    expect(decision).toMatchObject({ hosts: 2, chosen: ["big", "small"], trouble: null });
    expect(decision.filters.map((one: { name: string }) => one.name)).toContain("NumInstancesFilter");
    const [best] = decision.best;
    const ram = best.weighers.find((one: { name: string }) => one.name === "RAMWeigher");
    expect([best.host, ram]).toEqual(["big", { name: "RAMWeigher", raw: 65_536 - 512, weighted: 1 }]);
    expect(decision.explanation).toMatch(/^big was chosen \(weight .*\), alternates small\./);
    await remove(server.id);
    expect((await decisionsOf(server.id))[0].request_id).toBe(decision.request_id);
  });

  it("of none tells operators which filter removed whom, and owners nothing of it", async () => {
    const id = await flavor("huge", { "capabilities:vcpus": ">= 1000" });
    const server = await boot({ flavorRef: id }, {}, { token: member });
    const vague = "No valid host was found. There are not enough hosts available.";
    const why = expect.stringMatching(
      /ComputeCapabilitiesFilter let 0 of 2 through \(big: capabilities:vcpus is 16, not >= 1000; small: /,
    );
    expect(server).toMatchObject({ status: "ERROR", fault: { code: 500, message: vague, details: why } });
    const owners = await show(server.id, { token: member });
    expect(owners.fault).toEqual({ code: 500, message: vague, created: expect.any(String) });
    const actions = `${V}/servers/${server.id}/os-instance-actions`;
    const [action] = (await ask(edge, "GET", actions)).body.instanceActions;
    const events = async (options: CallOptions) =>
      (await ask(edge, "GET", `${actions}/${action.request_id}`, { minor: 96, ...options })).body.instanceAction.events;
    expect((await events({}))[0]).toMatchObject({ result: "Error", details: why });
    expect(JSON.stringify(await events({ token: member }))).not.toContain("big");
    const list = (await ask(edge, "GET", `${V}/servers/detail`, { token: member })).body.servers;
    expect(JSON.stringify(list)).not.toContain("big");
    await remove(server.id);
  });

  it("is for admins only", async () => {
    const server = await boot();
    for (const token of [member]) {
      expect((await ask(edge, "GET", `${V}/servers/${server.id}/scheduling`, { token })).status).toBe(403);
      expect((await preview({}, {}, { token })).status).toBe(403);
    }
    expect((await ask(edge, "GET", `${V}/servers/${NOBODY}/scheduling`)).status).toBe(404);
    await remove(server.id);
  });
});

describe("a dry run", () => {
  it("tells where a server would go, and makes none", async () => {
    const before = (await ask(edge, "GET", `${V}/os-hypervisors/statistics`)).body;
    const first = await preview();
    expect([first.status, first.body.scheduling.chosen]).toEqual([200, ["big", "small"]]);
    expect((await preview()).body.scheduling.best).toEqual(first.body.scheduling.best);
    expect((await ask(edge, "GET", `${V}/os-hypervisors/statistics`)).body).toEqual(before);
    expect((await ask(edge, "GET", `${V}/servers`)).body.servers).toEqual([]);
  });
  it("takes a destination, and knows the host that is not there", async () => {
    expect((await preview({ host: "small" })).body.scheduling.chosen).toEqual(["small"]);
    expect((await preview({ availability_zone: "nova:small" })).body.scheduling.chosen).toEqual(["small"]);
    const nowhere = (await preview({ availability_zone: "nova:nowhere" })).body.scheduling;
    expect(nowhere.explanation).toContain("forced host let 0 of 2 through (nowhere: it is not known).");
  });
  it.each([
    [{ flavorRef: "nothing" }, {}],
    [{ name: "" }, {}],
    [{}, { group: NOBODY }],
    [{}, { same_host: "no uuid" }],
  ])("of %j with the hints %j is a 400", async (change, hints) => {
    expect((await preview(change, hints)).status).toBe(400);
  });
  it("keeps to a group as one more of its members would", async () => {
    const body = { server_group: { name: "g", policies: ["anti-affinity"] } };
    const group = (await ask(edge, "POST", `${V}/os-server-groups`, { body })).body.server_group.id;
    const server = await boot({}, { group });
    expect((await preview({}, { group })).body.scheduling.chosen).toEqual(["small"]);
    await remove(server.id);
    await ask(edge, "DELETE", `${V}/os-server-groups/${group}`);
  });
});

describe("hints", () => {
  it("same_host and different_host go by where servers are now", async () => {
    const other = await boot({ host: "small" });
    const near = await boot({}, { same_host: other.id });
    const far = await boot({}, { different_host: [other.id, near.id] });
    expect([hostOf(near), hostOf(far)]).toEqual(["small", "big"]);
    const none = (await preview({}, { same_host: NOBODY })).body.scheduling;
    expect(none.explanation).toContain("SameHostFilter let 0 of 2 through");
    await remove(other.id, near.id, far.id);
  });
  it("query asks in JSON", async () => {
    const small = await preview({}, { query: '["<", "$free_ram_mb", 10000]' });
    expect(small.body.scheduling.chosen).toEqual(["small"]);
    expect((await preview({}, { query: '["explode"]' })).body.scheduling.chosen).toEqual([]);
  });
});

describe("requests that no host here can serve", () => {
  it.each([
    [{ "hw:numa_nodes": "2" }, "hw:numa_nodes asks for a NUMA topology"],
    [{ "pci_passthrough:alias": "gpu:1" }, "pci_passthrough:alias asks for devices of the host"],
    [{ "resources:CUSTOM_GOLD": "1" }, "resources:CUSTOM_GOLD"],
    [{ "trait:CUSTOM_FAST": "required" }, "trait:CUSTOM_FAST"],
  ])("as %j are told so, whatever filters are enabled", async (extra_specs, why) => {
    const id = await flavor(`f-${Object.keys(extra_specs)[0]?.replace(":", "-")}`, extra_specs);
    const { chosen, explanation } = (await preview({ flavorRef: id })).body.scheduling;
    expect([chosen, explanation]).toEqual([[], expect.stringContaining(why)]);
  });
  it("as an image for another architecture is not placed", async () => {
    await edge.call("PATCH", `/image/v2/images/${image}`, {
      headers: { "content-type": "application/openstack-images-v2.1-json-patch" },
      body: [{ op: "add", path: "/hw_architecture", value: "aarch64" }],
    });
    const { explanation } = (await preview()).body.scheduling;
    expect(explanation).toContain("ImagePropertiesFilter let 0 of 2 through (big: it runs no guests of aarch64");
    await edge.call("PATCH", `/image/v2/images/${image}`, {
      headers: { "content-type": "application/openstack-images-v2.1-json-patch" },
      body: [{ op: "replace", path: "/hw_architecture", value: "x86_64" }],
    });
    expect((await preview()).body.scheduling.chosen).toHaveLength(2);
  });
});

describe("aggregates", () => {
  it("keep projects apart, and set multipliers for their hosts", async () => {
    const { id } = (await ask(edge, "POST", `${V}/os-aggregates`, { body: { aggregate: { name: "a" } } })).body
      .aggregate;
    const act = (body: object) => ask(edge, "POST", `${V}/os-aggregates/${id}/action`, { body });
    const set = (metadata: object) => act({ set_metadata: { metadata } });
    expect((await act({ add_host: { host: "big" } })).status).toBe(200);
    await set({ filter_tenant_id: "somebody-else" });
    expect((await preview()).body.scheduling.chosen).toEqual(["small"]);
    await set({ filter_tenant_id: `x, ${DEMO_PROJECT}` });
    expect((await preview()).body.scheduling.chosen).toEqual(["big", "small"]);
    await set({ filter_tenant_id: null, ram_weight_multiplier: "-5" });
    expect((await preview()).body.scheduling.chosen).toEqual(["small", "big"]);
    await act({ remove_host: { host: "big" } });
    expect((await preview()).body.scheduling.chosen).toEqual(["big", "small"]);
  });
});

describe("a host by force", () => {
  it("is not asked by filters, and its claim still holds", async () => {
    const three = await Promise.all([1, 2, 3].map(() => boot({ host: "small" })));
    expect((await preview({ host: "small" })).body.scheduling.explanation).toContain(
      "NumInstancesFilter let 0 of 1 through (small: 3 servers are here)",
    );
    const fourth = await boot({ availability_zone: "nova:small" });
    expect([fourth.status, hostOf(fourth)]).toEqual(["ACTIVE", "small"]);
    const id = await flavor("wide", {}, { ram: 8_192 });
    expect((await boot({ availability_zone: "nova:small", flavorRef: id })).fault.details).toContain(
      "placement: resources let 0 of 1 through (small: memory_mb: 8192 asked for",
    );
    await remove(fourth.id, ...three.map((one) => one.id));
  });
});
