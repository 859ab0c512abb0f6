/** An edge and an agent as processes of their own, which a test may kill and start again on the same state. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { enroll } from "../../agent/enroll.ts";
import { lastLines, startChild } from "../../agent/up/child.ts";
import { Cloud } from "../../agent/up/cloud.ts";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { edgeReady, ensureSecrets, ROOT, startEdge } from "../../agent/up/edge.ts";
import { DEMO_PROJECT, until } from "../edge.ts";
import { freePort } from "../free-port.ts";
import { expectNoSecretsIn } from "../log-scan.ts";
import { childWith, killGroup, processes, signalGroup } from "../process-tree.ts";
import { FakeHypervisor, type Guest, type Hypervisor, namesIn } from "./hypervisor.ts";
import { login, type Shown, shown } from "./shown.ts";
import { Wire } from "./wire.ts";

/** What the host takes of flavor 1 (512 MiB), and what the project may have: one more, so that each limit shows. */
export const CAPACITY = 4;
export const QUOTA = 5;
const FLAVOR_MB = 512;
const HOST = "crash-1";
/** A saga that lost its driver is driven on by its object's alarm: 30 s after its start at the latest. */
export const SETTLED_MS = 55_000;

const VARS = {
  QUOTA_INSTANCES: String(QUOTA),
  QUOTA_CORES: "-1",
  QUOTA_RAM: "-1",
  RESERVED_HOST_MEMORY_MB: "0",
  /** Short, so that a test can see what an interrupted create reserved being given back. */
  RESERVATION_EXPIRE: "4",
};

export type Victim = "agent" | "edge" | "both";
export type WorldOptions = {
  /** The edge's options. */
  vars?: Record<string, string>;
  /** agent.toml. */
  toml?: string;
  hypervisor?: Hypervisor;
  agentEnv?: Record<string, string>;
  /** Where the agent keeps its state, if that is to be another file system. */
  agentState?: string;
};

type Usage = { in_use: number; reserved: number };
type Running = { group: number; log: string };

export class World {
  readonly #state = mkdtempSync(join(tmpdir(), "edgenova-crash-"));
  readonly #password = ensureSecrets();
  readonly #options: WorldOptions;
  readonly #hypervisor: Hypervisor;
  #wire: Wire | null = null;
  #port = 0;
  #edge: Running | null = null;
  #agent: Running | null = null;
  #token = "";
  #image = "";

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#hypervisor = options.hypervisor ?? new FakeHypervisor(CAPACITY * FLAVOR_MB);
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    try {
      world.#port = await freePort();
      mkdirSync(world.#temporary);
      await world.startEdge();
      world.#wire = await Wire.start(() => world.#port);
      const cloud = await Cloud.login(world.url, world.#password);
      const joinToken = await cloud.joinToken(HOST);
      await enroll({ edge: world.wire.url, joinToken, host: HOST, stateDir: world.agentState });
      if (options.toml !== undefined) writeFileSync(join(world.agentState, "agent.toml"), options.toml);
      world.#image = await cloud.createImage("demo", "raw", demoDisk());
      await world.startAgent();
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** A runtime that is killed leaves its temporary files. */
  get #temporary(): string {
    return join(this.#state, "tmp");
  }

  get agentState(): string {
    return this.#options.agentState ?? join(this.#state, "agent");
  }

  /** Between the agent and the edge. */
  get wire(): Wire {
    if (this.#wire === null) throw new Error("there is no wire yet");
    return this.#wire;
  }

  async startEdge(): Promise<void> {
    const vars = { ...VARS, ...this.#options.vars };
    const { TMPDIR = tmpdir() } = process.env;
    process.env.TMPDIR = this.#temporary;
    const child = startEdge({ port: this.#port, stateDir: this.#state, vars });
    process.env.TMPDIR = TMPDIR;
    this.#edge = { group: childWith(join(this.#state, "edge")), log: child.log };
    await edgeReady(this.url, child);
    this.#token ||= await login(this.url, this.#password);
  }

  startAgent(): void {
    const log = join(this.#state, "agent.log");
    const args = [join(ROOT, "agent/main.ts"), "run", "--state", this.agentState, ...this.#hypervisor.flags];
    startChild("agent", log, process.execPath, args, { ...process.env, ...this.#options.agentEnv });
    this.#agent = { group: childWith(this.agentState), log };
  }

  async killEdge(): Promise<void> {
    if (this.#edge) await killGroup(this.#edge.group);
    this.#edge = null;
  }

  async killAgent(): Promise<void> {
    if (this.#agent) await killGroup(this.#agent.group);
    this.#agent = null;
  }

  /** Kills, starts again on the same state, and waits until the two are linked. */
  async crash(victim: Victim): Promise<void> {
    await Promise.all([
      victim === "edge" ? undefined : this.killAgent(),
      victim === "agent" ? undefined : this.killEdge(),
    ]);
    this.signalAgent("SIGCONT");
    if (victim !== "edge") this.startAgent();
    if (victim !== "agent") await this.startEdge();
    await this.linked();
  }

  /** Ends the agent as a service manager does. */
  async stopAgent(): Promise<void> {
    if (this.#agent === null) return;
    const { group } = this.#agent;
    signalGroup(group, "SIGTERM");
    await until(() => !processes().some((one) => one.group === group), "the agent has ended");
    expect(this.agentEvents().at(-1)).toMatchObject({ event: "agent.stopped" });
    this.#agent = null;
  }

  signalAgent(signal: NodeJS.Signals): void {
    if (this.#agent) signalGroup(this.#agent.group, signal);
  }

  /** What the agent that runs now, or the last one, has logged. */
  agentEvents(): Record<string, unknown>[] {
    const text = readFileSync(join(this.#state, "agent.log"), "utf8");
    return text.split("\n").flatMap((line) => (line.endsWith("}") ? [JSON.parse(line)] : []));
  }

  /** Resolves when the agent is linked, and to the edge that runs now. */
  linked(): Promise<unknown> {
    const last = () => this.agentEvents().findLast(({ event }) => String(event).startsWith("link."))?.event;
    return until(() => last() === "link.up", "the agent is linked", SETTLED_MS);
  }

  /** The guests that the hypervisor has, whoever knows of them. */
  guests(): Guest[] {
    return this.#hypervisor.guests(this.agentState);
  }

  /** What the host has of servers that it has no guest of. */
  leftovers(): string[] {
    return this.#hypervisor.leftovers(this.agentState, new Set(this.guests().map(({ uuid }) => uuid)));
  }

  /** Takes the guests from a hypervisor whose agent is not running. */
  forgetGuests(): void {
    this.discard("fake/guests.json");
  }

  /** Removes a file of an agent that is not running. */
  discard(name: string): void {
    rmSync(join(this.agentState, name), { force: true });
  }

  /** A new image of these bytes. */
  async createImage(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    return (await Cloud.login(this.url, this.#password)).createImage("large", "raw", bytes);
  }

  /** The image as the API shows it; null when there is none. */
  async image(id: string): Promise<Record<string, unknown> | null> {
    const response = await fetch(`${this.url}/image/v2/images/${id}`, { headers: { "x-auth-token": this.#token } });
    return response.ok ? await response.json() : null;
  }

  /** Snapshots on their way to the edge. */
  snapshotFiles(): string[] {
    return namesIn(join(this.agentState, "snapshots"));
  }

  /** Any API call. */
  call(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(`${this.url}/compute/v2.1${path}`, {
      method,
      headers: {
        "x-auth-token": this.#token,
        "content-type": "application/json",
        "openstack-api-version": "compute 2.61",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  create(delayMs = 0, count = 1, imageRef = this.#image): Promise<Response> {
    const server = {
      name: "a",
      imageRef,
      flavorRef: "1",
      networks: "none",
      metadata: { "fake:delay_ms": String(delayMs), "fake:slow": `destroy=${delayMs},snapshot=${delayMs}` },
      min_count: count,
    };
    return this.call("POST", "/servers", { server });
  }

  /** The id of a server that is being built; spawn takes `delayMs`. */
  async boot(delayMs = 0, imageRef = this.#image): Promise<string> {
    const response = await this.create(delayMs, 1, imageRef);
    if (response.status !== 202) throw new Error(`create: ${response.status} ${await response.text()}`);
    return (await response.json()).server.id;
  }

  async show(id: string): Promise<Shown | null> {
    const response = await this.call("GET", `/servers/${id}`);
    return response.status === 404 ? null : shown((await response.json()).server);
  }

  async list(): Promise<Shown[]> {
    const { servers } = await (await this.call("GET", "/servers/detail")).json();
    return servers.map(shown);
  }

  /** All flavors by their names. */
  async flavors(): Promise<Map<string, { vcpus: number; ram: number }>> {
    const { flavors } = await (await this.call("GET", "/flavors/detail")).json();
    return new Map(flavors.map((flavor: { name: string }) => [flavor.name, flavor]));
  }

  /** What the scheduler believes of the host. */
  async hypervisorDetail(): Promise<Record<string, number>> {
    const { hypervisors } = await (await this.call("GET", "/os-hypervisors/detail")).json();
    return hypervisors[0];
  }

  async quota(): Promise<Record<"instances" | "cores" | "ram", Usage>> {
    const { quota_set } = await (await this.call("GET", `/os-quota-sets/${DEMO_PROJECT}/detail`)).json();
    const usage = ({ in_use, reserved }: Usage): Usage => ({ in_use, reserved });
    return {
      instances: usage(quota_set.instances),
      cores: usage(quota_set.cores),
      ram: usage(quota_set.ram),
    };
  }

  async images(): Promise<{ id: string; status: string }[]> {
    const response = await fetch(`${this.url}/image/v2/images`, { headers: { "x-auth-token": this.#token } });
    return (await response.json()).images;
  }

  /** The ends of both logs, for a person who asks why. */
  async evidence(): Promise<string> {
    const end = (name: string) => lastLines(join(this.#state, name), 40);
    return `agent:\n${end("agent.log")}\nedge:\n${end("edge.log")}`;
  }

  /** Resolves once nothing is being done to the server any more; null when it is gone. */
  async settled(id: string): Promise<Shown | null> {
    let last: Shown | null = null;
    await until(
      async () => {
        last = await this.show(id).catch(() => last);
        return last === null || (last.status !== "BUILD" && last.task === null);
      },
      `server ${id} has settled`,
      SETTLED_MS,
    );
    return last;
  }

  async deleted(id: string): Promise<void> {
    await until(async () => (await this.show(id)) === null, `server ${id} is gone`, SETTLED_MS);
  }

  /** Deletes all servers, and waits until the hypervisor has no guest either. */
  async clear(): Promise<void> {
    for (const { id } of await this.list()) await this.call("DELETE", `/servers/${id}`);
    await until(async () => (await this.list()).length === 0, "no server is listed", SETTLED_MS);
    await until(() => this.guests().length === 0, "no guest is left", SETTLED_MS);
  }

  /**
   * With no server left, nothing may be taken: the host holds CAPACITY servers and not one more, and the project may
   * have QUOTA and not one more. A leaked claim, guest or reservation would make one of the first ones fail.
   */
  async provesEmpty(): Promise<{ fit: string[]; over: string; refused: number }> {
    await this.linked();
    await this.clear();
    const first = await until(async () => {
      const response = await this.create(0, QUOTA);
      // What an interrupted create reserved is given back in time (RESERVATION_EXPIRE), and not before.
      if (response.status === 403) return null;
      return response;
    }, "the project's whole quota is free");
    if (first.status !== 202) throw new Error(`create: ${first.status} ${await first.text()}`);
    const all = await this.list();
    const ends = await Promise.all(all.map(({ id }) => this.settled(id)));
    const refused = (await this.create()).status;
    const status = ends.map((one) => one?.status ?? "GONE");
    await this.clear();
    return {
      fit: status.filter((one) => one === "ACTIVE"),
      over: status.filter((one) => one !== "ACTIVE").join(),
      refused,
    };
  }

  /** Asserts that nothing is taken when there is no server. */
  async isEmpty(): Promise<void> {
    const { fit, over, refused } = await this.provesEmpty();
    expect(fit).toHaveLength(CAPACITY);
    expect([over, refused]).toEqual(["ERROR", 403]);
  }

  async close(): Promise<void> {
    await this.killAgent();
    await this.killEdge();
    await this.#wire?.close();
    expectNoSecretsIn(this.#state);
    rmSync(this.#state, { recursive: true, force: true });
  }
}
