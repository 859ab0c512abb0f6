/** What was asked of a server, by microversion (nova/api/openstack/compute/instance_actions.py). */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ask as askEdge,
  type CallOptions,
  DEMO_PROJECT,
  demoImage,
  startTestEdge,
  type TestEdge,
  until,
} from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const LAST = 96;

let edge: TestEdge;
let member: string;
let server: string;
let failed: string;
let gone: string;

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: LAST, ...options });
const actions = (of: string, query = "", options: CallOptions = {}) =>
  ask("GET", `${V}/servers/${of}/os-instance-actions${query}`, options);
const eventsOf = async (of: string, options: CallOptions = {}) => {
  const [{ request_id }] = (await actions(of)).body.instanceActions.slice(-1);
  return (await actions(of, `/${request_id}`, options)).body.instanceAction.events;
};

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
  const image = await demoImage(edge.cloud);
  member = await tokenOf({ user: "m", project: DEMO_PROJECT, roles: ["member", "reader"] });
  const make = async (change: object = {}) => {
    const body = { server: { name: "x", imageRef: image, flavorRef: "1", networks: "none", ...change } };
    const { id } = (await ask("POST", `${V}/servers`, { body })).body.server;
    await edge.cloud.built(id, 20_000);
    return id;
  };
  server = await make();
  failed = await make({ availability_zone: "nova:nowhere" });
  gone = await make();
  await ask("DELETE", `${V}/servers/${gone}`);
  await until(async () => (await ask("GET", `${V}/servers/${gone}`)).status === 404, "it is gone");
  await ask("POST", `${V}/servers/${server}/action`, { body: { lock: null } });
});
afterAll(() => edge?.close());

describe("the list", () => {
  const words = async (query: string) => {
    return (await actions(server, query)).body.instanceActions.map((one: { action: string }) => one.action);
  };
  it("is newest first", async () => expect(await words("")).toEqual(["lock", "create"]));
  it("of a deleted server is there from 2.21 on", async () => {
    expect((await actions(gone, "", { minor: 20 })).status).toBe(404);
    const { status, body } = await actions(gone, "", { minor: 21 });
    expect(status).toBe(200);
    expect(body.instanceActions).toMatchObject([{ action: "delete" }, { action: "create", instance_uuid: gone }]);
  });
  it("has pages and updated_at from 2.58 on", async () => {
    const before = (await actions(server, "?limit=1", { minor: 57 })).body;
    expect(before.instanceActions).toHaveLength(2);
    expect(before.instanceActions[0]).not.toHaveProperty("updated_at");
    const { instanceActions, links } = (await actions(server, "?limit=1", { minor: 58 })).body;
    expect(instanceActions).toMatchObject([{ action: "lock", updated_at: expect.stringMatching(/\.\d{6}$/) }]);
    const next = new URL(links[0].href);
    expect((await ask("GET", `${next.pathname}${next.search}`)).body.instanceActions).toMatchObject([
      { action: "create" },
    ]);
  });
  it("can be cut in time: since from 2.58 on, before from 2.66 on", async () => {
    expect(await words("?changes-since=2999-01-01T00:00:00Z")).toEqual([]);
    expect(await words("?changes-before=2000-01-01T00:00:00Z")).toEqual([]);
    expect(await words("?changes-since=2000-01-01T00:00:00Z&changes-before=2999-01-01T00:00:00Z")).toHaveLength(2);
    const { status, body } = await actions(server, "?changes-before=2000-01-01T00:00:00Z", { minor: 65 });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain("'changes-before' was unexpected");
  });
  it.each([
    ["?marker=nothing", "marker [nothing] not found"],
    ["?limit=-1", "It is not a whole number."],
    ["?limit=1&limit=2", "It is given more than once."],
    ["?changes-since=yesterday", "It is not a time"],
    ["?nonsense=1", "'nonsense' was unexpected"],
    ["?changes-since=2001-01-01&changes-before=2000-01-01", "must be less than or equal to changes-before."],
  ])("refuses %s: 400", async (query, message) => {
    const { status, body } = await actions(server, query);
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
});

describe("an event", () => {
  it("is for admins, and for owners from 2.51 on, without what is an admin's", async () => {
    expect(await eventsOf(server, { minor: 1 })).toMatchObject([
      { traceback: null, result: "Success" },
      { traceback: null, result: "Success" },
    ]);
    expect(await eventsOf(server, { minor: 50, token: member })).toBeUndefined();
    const [event] = await eventsOf(server, { minor: 51, token: member });
    expect(Object.keys(event).sort()).toEqual(["event", "finish_time", "result", "start_time"]);
  });
  it("names its host to admins, and hides it from owners, from 2.62 on", async () => {
    expect((await eventsOf(server, { minor: 61 }))[0]).not.toHaveProperty("hostId");
    const hostId = createHash("sha224").update(`${DEMO_PROJECT}one`).digest("hex");
    expect(await eventsOf(server, { minor: 62 })).toMatchObject([{}, { host: "one", hostId }]);
    const [, event] = await eventsOf(server, { minor: 62, token: member });
    expect(event).toMatchObject({ hostId });
    expect(event).not.toHaveProperty("host");
  });
  it("tells admins why it failed, from 2.84 on", async () => {
    expect((await eventsOf(failed, { minor: 83 }))[0]).not.toHaveProperty("details");
    const details = expect.stringContaining("No valid host was found.");
    expect(await eventsOf(failed, { minor: 84 })).toMatchObject([{ result: "Error", details }]);
    const chosen = expect.stringMatching(/^\S+ was chosen/);
    expect(await eventsOf(server, { minor: 84 })).toMatchObject([
      { event: "conductor_schedule_and_build_instances", result: "Success", details: chosen },
      { event: "compute__do_build_and_run_instance", result: "Success", details: null },
    ]);
    expect((await eventsOf(failed, { minor: 84, token: member }))[0]).not.toHaveProperty("details");
  });
  it("of a request that there was not is 404", async () => {
    expect((await actions(server, "/req-0")).status).toBe(404);
  });
});
