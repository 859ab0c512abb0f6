/** Hosts that a server can be moved between, a server on the first of them, and what is left of it where. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { expect, vi } from "vitest";
import type { Context, Memo } from "../../functions/conductor/context.ts";
import type { Order } from "../../functions/conductor/order.ts";
import type { ServerRecord } from "../../functions/conductor/record.ts";
import type { Step } from "../../functions/conductor/saga.ts";
import type { Action } from "../../functions/conductor/state.ts";
import type { Actor } from "../../functions/identity/actor.ts";
import { MOVE_SIDE_HEADER, MOVE_STREAM_HEADER } from "../../functions/move/sides.ts";
import type { Outcome } from "../../functions/protocol/frames.ts";
import type { Inventory } from "../../functions/protocol/guest.ts";
import type { CallErrorCode, Method } from "../../functions/protocol/methods.ts";
import { type Call, INVENTORY, ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

export type Moved = Exclude<Action, "delete" | "soft_delete" | "force_delete">;

let count = 0;

/** Gives the host a key, as its enrolment would. */
async function enrol(host: string): Promise<void> {
  const identity = env.IDENTITY.getByName("default");
  const key = { kty: "OKP", crv: "Ed25519", x: `${host}-`.padEnd(43, "k").slice(0, 43) };
  await identity.addJoinToken(host, host, Date.now() + 60_000);
  await identity.enrol({ join_token_hash: host, host, public_key: JSON.stringify(key) });
}

export class MovingWorld {
  readonly project = `moving${count++}`;
  readonly agents: ScriptedAgent[] = [];
  uuid = "";

  /** The first host has most room, and so the server; each one has less than the one before. */
  static async of(hosts: number, change: Partial<Inventory> = {}): Promise<MovingWorld> {
    const world = new MovingWorld();
    for (let at = 0; at < hosts; at++) {
      const agent = new ScriptedAgent(`${world.project}-${at}`);
      await enrol(agent.host);
      const memory_mb = 32_768 - at * 4096;
      world.agents.push(await agent.link({ ...INVENTORY, hypervisor_hostname: `node${at}`, memory_mb, ...change }));
    }
    await world.create();
    return world;
  }

  agent(at: number): ScriptedAgent {
    const agent = this.agents[at];
    if (!agent) throw new Error(`no host ${at}`);
    return agent;
  }

  readonly actor = (request_id = `req-${crypto.randomUUID()}`): Actor => ({
    ...ADMIN,
    project_id: this.project,
    request_id,
  });
  readonly server = () => env.SERVER.getByName(this.uuid);
  readonly show = () => this.server().show(this.actor());
  readonly host = (at: number) => env.HOST.getByName(this.agent(at).host);
  readonly migrations = () => env.PROJECT.getByName(this.project).migrations({ instance_uuid: this.uuid });

  /** Whether the way between the hosts of its last move has been closed. */
  async pipeIsOver(): Promise<boolean> {
    const [last] = await this.migrations();
    const headers = { upgrade: "websocket", [MOVE_SIDE_HEADER]: "source", [MOVE_STREAM_HEADER]: "0" };
    return (await env.MOVE.getByName(last?.uuid ?? "").fetch("http://edge", { headers })).status === 410;
  }

  async create(): Promise<void> {
    const spec = specOf({ project_id: this.project, requested_host: this.agent(0).host });
    this.uuid = spec.uuid;
    const reserved = await env.PROJECT.getByName(this.project).reserve([spec], 1);
    if (!reserved.ok) throw new Error("over quota");
    await this.server().create(this.actor(), spec, reserved.value.until);
    await this.rested();
  }

  /** The record once nothing is being done to the server; its alarms ring at once. */
  rested(): Promise<ServerRecord> {
    return until(async () => {
      await runDurableObjectAlarm(this.server());
      const record = await this.show();
      return record?.task_state === null ? (record as ServerRecord) : null;
    }, "the server rests");
  }

  async act(action: Moved, order: Order = {}) {
    const request = this.actor();
    const begun = await this.server().act(request, action, order);
    if (!begun.ok) throw new Error(JSON.stringify(begun.error));
    return request.request_id;
  }

  async done(action: Moved, order: Order = {}) {
    await this.act(action, order);
    return this.rested();
  }

  /** A flavor that is so many times as large as the one that the server was made with. */
  flavor(times: number) {
    const { flavor } = specOf();
    return { ...flavor, flavorid: `x${times}`, vcpus: flavor.vcpus * times, ram: flavor.ram * times };
  }

  resizeTo(times: number): Order {
    return { change: { new_flavor: this.flavor(times) } };
  }

  to(at: number, move: Memo["move"] = {}): Order {
    return { memo: { move: { ...move, target: { host: this.agent(at).host, forced: false } } } };
  }

  /** From now on this is what becomes of the method on the host; the former answer is returned. */
  answer(at: number, method: Method, outcome: (call: Call) => Outcome | null): () => void {
    const agent = this.agent(at);
    const obey = agent.answer;
    agent.answer = (call) => (call.method === method ? outcome(call) : obey(call));
    return () => {
      agent.answer = obey;
    };
  }

  refuse(at: number, method: Method, code: CallErrorCode = "MigrationError"): () => void {
    return this.answer(at, method, () => ({ ok: false, error: { code, message: `no ${method}` } }));
  }

  /** What each host holds: claimed memory in MiB, and whether a guest is there and runs. */
  async held(): Promise<[memory: number, guest: "runs" | "off" | "none"][]> {
    return Promise.all(
      this.agents.map(async (agent, at) => {
        const guest = agent.guests.get(this.uuid);
        const memory = (await this.host(at).state())?.used.memory_mb ?? 0;
        return [memory, guest === undefined ? "none" : guest.power_state === 1 ? "runs" : "off"];
      }),
    );
  }

  /** Waits until the hosts hold this. */
  holds(expected: Awaited<ReturnType<MovingWorld["held"]>>): Promise<void> {
    return vi.waitFor(async () => expect(await this.held()).toEqual(expected), { timeout: 8_000 });
  }

  /** Deletes the server, and waits until nothing of it is left where it can be reached. */
  async deleted(): Promise<void> {
    expect((await this.server().remove(this.actor())).ok).toBe(true);
    await until(async () => {
      await runDurableObjectAlarm(this.server());
      return (await this.show()) === null;
    }, "it is deleted");
    for (const [at, agent] of this.agents.entries()) {
      const isFree = async () => (await this.host(at).state())?.used.instances === 0 && !agent.guests.has(this.uuid);
      if ((await this.host(at).state())?.connected) await until(isFree, "the host is free");
    }
    await until(async () => (await this.usage()).instances === 0, "its quota is given back");
  }

  /** The host is down, and its agent gone. */
  async lose(at: number): Promise<void> {
    this.agent(at).unlink();
    await this.host(at).updateService({ forced_down: true });
    await until(async () => !(await this.host(at).state())?.connected, "the host is gone");
  }

  /** The agent of the host links again, with the guests that it has. */
  async back(at: number): Promise<void> {
    const state = await this.host(at).state();
    if (!state) throw new Error(`no host ${at}`);
    await this.agent(at).link(state.inventory);
  }

  /** The step waits before its work until it is released: by flags, as an object cannot be woken by another's promise. */
  hold(step: Step<Context, Memo>): { reached(): boolean; release(): void } {
    const { run } = step;
    let [reached, released] = [false, false];
    vi.spyOn(step, "run").mockImplementation(async (context, memo) => {
      reached = true;
      await until(() => released, "the test lets the step go");
      return run(context, memo);
    });
    return {
      reached: () => reached,
      release: () => {
        released = true;
      },
    };
  }

  usage() {
    return env.PROJECT.getByName(this.project).usage();
  }

  methods(at: number): Method[] {
    return this.agent(at).calls.map(({ method }) => method);
  }

  /** What the method was last given on the host. */
  params(at: number, method: Method): unknown {
    return this.agent(at).calls.findLast((call) => call.method === method)?.params;
  }

  /** Removes the server, and takes the hosts out of the other tests' view. */
  async close(): Promise<void> {
    for (const [at, agent] of this.agents.entries()) {
      agent.unlink();
      await this.host(at).updateService({ enabled: false });
    }
  }
}
