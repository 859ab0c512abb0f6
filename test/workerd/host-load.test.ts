/** What a host tells the scheduler of its work: what it is at, what failed, what runs there. */
import { env } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Method, Params } from "../../functions/protocol/methods.ts";
import { type Call, ScriptedAgent, until } from "./scripted-agent.ts";

let agent: ScriptedAgent;
let count = 0;
/** Calls that the agent has not answered yet. */
let held: Call[];
let holding: boolean;

beforeEach(async () => {
  held = [];
  holding = true;
  agent = await new ScriptedAgent(`load-${count++}`).link();
  const act = agent.answer;
  agent.answer = (call) => {
    if (!holding) return act(call);
    held.push(call);
    return null;
  };
});
afterEach(() => agent.unlink());

const host = () => env.HOST.getByName(agent.host);
const claim = (server: string, image_properties = {}) =>
  host().claim({ server, generation: 1, vcpus: 1, memory_mb: 1, disk_gb: 1, image_properties });
function call<M extends Method>(server: string, method: M, params: Params<M>, id = crypto.randomUUID()) {
  return host().call({ id, server, generation: 1, method, params });
}
const image = { id: crypto.randomUUID(), disk_format: "raw" as const, size: 512, sha512: "0".repeat(128) };
const spec: Params<"spawn"> = {
  ...{ display_name: "a", instance_name: "i", project_id: "p", vcpus: 1, memory_mb: 1, disk_gb: 1 },
  ...{ image, metadata: {}, config_drive: null, ephemerals: [], swap_mb: 0 },
};
async function spawn(server: string) {
  const done = call(server, "spawn", spec);
  await until(() => held.length > 0, "it is asked for");
  return { done, answer: (ok: boolean) => answer(ok) };
}
function answer(ok: boolean) {
  const { id } = held.shift()!;
  const error = { code: "Unexpected" as const, message: "no" };
  agent.send({ t: "result", call: id, outcome: ok ? { ok: true, value: { power_state: 1 } } : { ok: false, error } });
}
/** What the scheduler has heard. */
const seen = async () => (await env.SCHEDULER.getByName("default").hosts()).find((one) => one.host === agent.host);
const told = (what: object) =>
  until(
    async () => {
      const known = await seen();
      return Object.entries(what).every(([key, value]) =>
        Object.entries(known ?? {}).some((e) => e[0] === key && e[1] === value),
      );
    },
    `the scheduler knows ${JSON.stringify(what)}`,
  );

it("counts a guest from its claim until it is made", async () => {
  const server = crypto.randomUUID();
  await claim(server);
  await told({ io_ops: 1 });
  const { done, answer } = await spawn(server);
  expect((await host().state())?.io_ops).toBe(1);
  answer(true);
  await done;
  await told({ io_ops: 0 });
});

it("counts a copy of a guest while it is made", async () => {
  const server = crypto.randomUUID();
  await claim(server);
  const { done, answer } = await spawn(server);
  answer(true);
  await done;
  await told({ io_ops: 0 });
  const copied = call(server, "snapshot", { image: crypto.randomUUID() });
  await told({ io_ops: 1 });
  answer(false);
  await copied;
  await told({ io_ops: 0 });
});

it("counts builds that failed, until one does not", async () => {
  const server = crypto.randomUUID();
  await claim(server);
  for (const failures of [1, 2]) {
    const { done, answer } = await spawn(server);
    answer(false);
    await done;
    await told({ failed_builds: failures });
  }
  const { done, answer } = await spawn(server);
  answer(true);
  await done;
  await told({ failed_builds: 0 });
});

it("counts its servers by what their images say", async () => {
  const [a, b] = [crypto.randomUUID(), crypto.randomUUID()];
  await claim(a, { os_distro: "bsd", hw_disk_bus: "virtio" });
  await claim(b, { os_distro: "bsd" });
  expect((await host().state())?.image_properties).toEqual({ "os_distro=bsd": 2, "hw_disk_bus=virtio": 1 });
  holding = false;
  await host().dismiss({ server: a, generation: 1 });
  expect((await host().state())?.image_properties).toEqual({ "os_distro=bsd": 1 });
});
