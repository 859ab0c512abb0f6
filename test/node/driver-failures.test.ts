/** What each action leaves when the hypervisor fails it: Nova's state, its fault, and "Error" in its record. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

const V = "/compute/v2.1";
let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_INSTANCES: "50", QUOTA_CORES: "50" });
  await edge.agent("one", { vcpus: 64, memory_mb: 65_536 });
  image = await demoImage(edge.cloud);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: 96, ...options });
const show = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body?.server;
const act = (id: string, body: object, options: CallOptions = {}) =>
  ask("POST", `${V}/servers/${id}/action`, { body, ...options });

/** A server whose hypervisor fails what `fail` names. */
async function boot(fail: string): Promise<string> {
  const metadata = { "fake:fail": fail };
  const server = { name: "s", imageRef: image, flavorRef: "1", networks: "none", metadata };
  const { id } = (await ask("POST", `${V}/servers`, { body: { server } })).body.server;
  await edge.cloud.built(id, 20_000);
  return id;
}
const rests = (id: string) =>
  until(async () => {
    const server = await show(id);
    return server?.["OS-EXT-STS:task_state"] === null && server;
  }, "it rests");
async function newest(id: string) {
  const path = `${V}/servers/${id}/os-instance-actions`;
  const [{ request_id }] = (await ask("GET", path)).body.instanceActions;
  return (await ask("GET", `${path}/${request_id}`)).body.instanceAction;
}

const ACTIVE = 1;
const STOP = { "os-stop": null };
/** What fails; what is done before; the action; and the server's state and power after it. */
const FAILURES: [string, object[], object, string, number][] = [
  ["power_off", [], STOP, "active", ACTIVE],
  ["power_on", [STOP], { "os-start": null }, "stopped", 4],
  ["reboot", [], { reboot: { type: "SOFT" } }, "active", ACTIVE],
  ["reboot", [], { reboot: { type: "HARD" } }, "active", ACTIVE],
  ["reboot", [STOP], { reboot: { type: "HARD" } }, "error", 4],
  ["reboot", [{ pause: null }], { reboot: { type: "HARD" } }, "error", 3],
  ["pause", [], { pause: null }, "active", ACTIVE],
  ["unpause", [{ pause: null }], { unpause: null }, "paused", 3],
  ["suspend", [], { suspend: null }, "error", ACTIVE],
  ["resume", [{ suspend: null }], { resume: null }, "error", 7],
  ["rescue", [], { rescue: null }, "error", 4],
  ["unrescue", [{ rescue: null }], { unrescue: null }, "error", ACTIVE],
  ["rebuild", [], { rebuild: { imageRef: "" } }, "error", ACTIVE],
  ["snapshot", [], { createImage: { name: "i" } }, "active", ACTIVE],
  ["snapshot", [], { createBackup: { name: "b", backup_type: "daily", rotation: 1 } }, "active", ACTIVE],
  ["snapshot", [], { shelve: null }, "active", ACTIVE],
  ["set_admin_password", [], { changePassword: { adminPass: "p" } }, "active", ACTIVE],
  ["inject_nmi", [], { trigger_crash_dump: null }, "active", ACTIVE],
];

describe.each(FAILURES)("%s, after %j: %j", (fails, before, action, vm_state, power_state) => {
  it(`fails, and leaves it ${vm_state}`, async () => {
    const id = await boot(fails);
    for (const each of before) {
      expect((await act(id, each)).status).toBeLessThan(300);
      await rests(id);
    }
    const body = "rebuild" in action ? { rebuild: { imageRef: image } } : action;
    const { status } = await act(id, body);
    expect(status).toBeLessThan(502);
    const server = await rests(id);
    expect(server).toMatchObject({ "OS-EXT-STS:vm_state": vm_state, "OS-EXT-STS:power_state": power_state });
    if (vm_state === "error") {
      expect(server.fault).toMatchObject({ code: 500, message: expect.stringContaining(`${fails} failed, as the`) });
    }
    const { message, events } = await newest(id);
    expect(message).toBe("Error");
    expect(events.at(-1)).toMatchObject({ result: "Error", host: "one", details: expect.stringContaining(fails) });
    const images = (await ask("GET", "/image/v2/images")).body.images;
    expect(images.map(({ name }: { name: string }) => name)).toEqual(["demo"]);
    expect((await ask("DELETE", `${V}/servers/${id}`)).status).toBe(204);
    await until(async () => (await ask("GET", `${V}/servers/${id}`)).status === 404, "it is gone");
  });
});

it.each([
  [
    "spawn",
    /^Exceeded maximum number of retries\. Exhausted all hosts available for retrying build failures for instance /,
  ],
  ["spawn=BuildAbortException", /^Build of instance \S+ aborted: spawn failed, as the metadata key/],
  ["spawn=ImageUnacceptable", /^Build of instance \S+ aborted: spawn failed, as the metadata key/],
])("%s fails its build, and takes no room", async (fail, message) => {
  const id = await boot(fail);
  const { status, fault } = await show(id);
  expect([status, fault.code]).toEqual(["ERROR", 500]);
  expect(fault.message).toMatch(message);
  expect(fault.details).toContain("one: ");
  await ask("DELETE", `${V}/servers/${id}`);
  await until(async () => (await ask("GET", `${V}/servers/${id}`)).status === 404, "it is gone");
  const running = async () =>
    (await ask("GET", `${V}/os-hypervisors/detail`, { minor: 87 })).body.hypervisors[0].running_vms;
  await until(async () => (await running()) === 0, "its claim is free");
});

it.each([
  ["get_console_output", { "os-getConsoleOutput": {} }, 404],
  ["vnc", { "os-getVNCConsole": { type: "novnc" } }, 409],
])("%s tells so at once: %j is refused with %i", async (fail, body, status) => {
  const id = await boot(fail);
  expect((await act(id, body, { minor: 1 })).status).toBe(status);
  expect(await show(id)).toMatchObject({ status: "ACTIVE" });
  await ask("DELETE", `${V}/servers/${id}`);
});
