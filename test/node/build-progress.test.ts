/** How far a build is, as its owner and an operator read it while it lasts; and its end when its time is over. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { CLOSE } from "../../functions/protocol/frames.ts";
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
import { type RawHost, rawHost } from "./raw-agent.ts";

const V = "/compute/v2.1";
let edge: TestEdge;
let image: string;
let host: RawHost;

beforeAll(async () => {
  edge = await startTestEdge({ INSTANCE_BUILD_TIMEOUT: "10" });
  image = await demoImage(edge.cloud);
  host = await rawHost(edge, "slow");
});
afterAll(async () => {
  host?.close();
  await edge?.close();
});

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: 96, ...options });
const show = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body?.server;

it("is told by its agent, shown to its owner, explained to operators, and ended by INSTANCE_BUILD_TIMEOUT", async () => {
  const link = await host.link();
  link.onCall = ({ method }) => (method === "spawn" ? null : { ok: true, value: {} });
  const member = await tokenOf({ user: "m", project: DEMO_PROJECT, roles: ["member", "reader"] });
  const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none" };
  const created = await ask("POST", `${V}/servers`, { body: { server } });
  const { id } = created.body.server;
  const spawn = await until(() => link.frames.find((frame) => frame.t === "call"), "its host was asked");
  const call = spawn.t === "call" ? spawn.id : "";
  expect(await show(id)).toMatchObject({ status: "BUILD", progress: 0 });

  // Of no call, or of one of somebody else's: heard, and forgotten.
  link.send({ t: "progress", call: "nobody's", stage: "image", percent: 99 });
  link.send({ t: "progress", call, stage: "image", percent: 41, bytes: 456, of: 1000 });
  await until(async () => (await show(id)).progress === 41, "its progress is shown");
  const path = `${V}/servers/${id}/os-instance-actions/${created.headers.get("x-openstack-request-id")}`;
  const events = async (options: CallOptions = {}) => (await ask("GET", path, options)).body.instanceAction.events;
  expect(await events()).toMatchObject([
    { event: "conductor_schedule_and_build_instances", result: "Success" },
    {
      event: "compute__do_build_and_run_instance",
      host: "slow",
      result: null,
      finish_time: null,
      details: "The host downloads the image: 41 %, 456 of 1000 bytes.",
    },
  ]);
  expect(JSON.stringify(await events({ token: member }))).not.toContain("456");
  link.send({ t: "progress", call, stage: "constructor", percent: 95 });
  await until(async () => (await show(id)).progress === 95, "its progress is shown");
  expect((await events()).at(-1).details).toBe("constructor: 95 %.");

  await until(async () => (await show(id)).status === "ERROR", "its time is over");
  const message = "Instance build timed out. Set to error state.";
  expect(await show(id)).toMatchObject({ fault: { code: 500, message }, "OS-EXT-STS:task_state": null });
  expect((await events()).at(-1)).toMatchObject({ result: "Error", details: message, host: "slow" });
  await until(
    () => link.frames.some((frame) => frame.t === "call" && frame.method === "destroy"),
    "its guest is ended",
  );
  const usage = async () => (await ask("GET", `${V}/os-hypervisors/detail`, { minor: 87 })).body.hypervisors[0];
  await until(async () => (await usage()).running_vms === 0, "its claim is free");
  link.ws.close();
});

it.each([
  { percent: 101 },
  { percent: -1 },
  { percent: "half" },
  { stage: "" },
  { stage: "x".repeat(33) },
  { bytes: -1 },
  { call: "" },
])("of a wrong shape (%j) closes the link", async (change) => {
  const link = await host.link();
  link.send({ t: "progress", call: "c", stage: "image", percent: 1, ...change });
  expect((await link.end()).code).toBe(CLOSE.BAD_FRAME);
});
