/**
 * An edge and two real hosts (libvirtd, QEMU under TCG, an agent each) with a wire between each and the edge, and so
 * between the two; any of them may be killed. What a server is in the end, and what is where of it, is asked of the API
 * and of the machine.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import { lastLines } from "../../agent/up/child.ts";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { DEMO_PROJECT, until } from "../edge.ts";
import { KillableEdge } from "../killable-edge.ts";
import { processes } from "../process-tree.ts";
import type { AgentHost } from "../real/agent-host.ts";
import { LIBVIRT_NEEDS } from "../real/libvirtd.ts";
import { MovingHosts, type Served } from "../real/moving-hosts.ts";
import { needs } from "../real/requirement.ts";
import type { Dice } from "./dice.ts";
import { namesIn } from "./hypervisor.ts";
import { openCalls } from "./invariants.ts";
import { login, type Shown, shown } from "./shown.ts";
import { Wire } from "./wire.ts";

export const HOSTS = ["hv1", "hv2"] as const;
export type HostName = (typeof HOSTS)[number];
export const other = (host: HostName): HostName => (host === "hv1" ? "hv2" : "hv1");

const { paths, apt } = LIBVIRT_NEEDS;
export const canMove = needs("the crash test of moves", ["/usr/bin/unshare", ...paths], apt);

export const START_MS = 240_000;
export const CASE_MS = 480_000;
export const SETTLED_MS = 120_000;
/** How often it is looked where the guest runs. */
const WATCH_MS = 200;

const VARS = {
  RESERVED_HOST_MEMORY_MB: "0",
  RAM_ALLOCATION_RATIO: "1",
  SHUTDOWN_TIMEOUT: "1",
  QUOTA_RAM: "-1",
  ALLOW_RESIZE_TO_SAME_HOST: "true",
};

export type Victim = "source" | "destination" | "edge" | "all" | "guest" | "way" | "user";
/** The kinds of record that a move leaves that is over. */
const OVER = ["completed", "confirmed", "reverted", "error", "failed", "cancelled"];

/**
 * `smallDisks`: guests' files are on a file system of their own (agent-host.ts: limitDisk). `shared`: those of all hosts are
 * in one folder.
 */
export type WorldOptions = { toml?: string; image?: Uint8Array<ArrayBuffer>; smallDisks?: boolean; shared?: boolean };

/** The QEMUs that have the guest, on whichever host. */
export const processesOf = (id: string): number[] =>
  processes().flatMap(({ pid, command }) => (command.includes(`guest=instance-${id}`) ? [pid] : []));

export class MovingWorld {
  readonly edge = new KillableEdge(VARS);
  readonly hosts = {} as Record<HostName, Served<AgentHost>>;
  /** Between each host and the edge. */
  readonly wires = {} as Record<HostName, Wire>;
  /** Hosts whose agents are dead, and are to be. */
  readonly #down = new Set<HostName>();
  /** The folder of all guests, where the hosts share it. */
  readonly #shared: string | null;
  #machines: MovingHosts | null = null;
  #token = "";
  image = "";

  private constructor(shared: boolean) {
    this.#shared = shared ? mkdtempSync(join(tmpdir(), "en-shared-")) : null;
  }

  static async start(options: WorldOptions = {}): Promise<MovingWorld> {
    const { toml = "", image = demoDisk(), smallDisks = false, shared = false } = options;
    const world = new MovingWorld(shared);
    try {
      const { edge } = world;
      await edge.start();
      world.#token = await login(edge.url, edge.password);
      const cloud = await edge.cloud();
      world.#machines = await MovingHosts.open();
      for (const name of HOSTS) {
        world.hosts[name] = await world.#machines.start<AgentHost>(name, "agent-host.ts");
        world.wires[name] = await Wire.start(() => Number(new URL(edge.url).port));
        const path = world.#shared === null ? "" : `instances_path = "${world.#shared}"\n`;
        await world.hosts[name].join(world.wires[name].url, await cloud.joinToken(name), name, path + toml);
        if (world.#shared !== null) await world.hosts[name].useInstances(world.#shared);
        if (smallDisks) await world.hosts[name].mountDisk();
      }
      world.image = await cloud.createImage("demo", "raw", image);
      await world.linked();
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#machines?.stop(Object.values(this.hosts));
    for (const wire of Object.values(this.wires)) await wire.close();
    await this.edge.close();
    if (this.#shared !== null) rmSync(this.#shared, { recursive: true, force: true });
  }

  call(method: string, path: string, body?: unknown, minor = 61): Promise<Response> {
    return fetch(`${this.edge.url}/compute/v2.1${path}`, {
      method,
      headers: {
        "x-auth-token": this.#token,
        "content-type": "application/json",
        "openstack-api-version": `compute 2.${minor}`,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  act(id: string, body: object, minor?: number): Promise<Response> {
    return this.call("POST", `/servers/${id}/action`, body, minor);
  }

  async show(id: string): Promise<Shown | null> {
    const response = await this.call("GET", `/servers/${id}`);
    return response.status === 404 ? null : shown((await response.json()).server);
  }

  /** All agents that are to be are linked to the edge that runs now. */
  linked(): Promise<unknown> {
    const up = HOSTS.filter((name) => !this.#down.has(name));
    const states = () => Promise.all(up.map((name) => this.hosts[name].linkState()));
    return until(async () => (await states()).every((state) => state === "link.up"), "they are linked", SETTLED_MS);
  }

  /** The server once nothing is done to it; null when it is gone. */
  async settled(id: string): Promise<Shown | null> {
    let last: Shown | null | undefined;
    const rests = async () => {
      last = await this.show(id).catch(() => last);
      return last === null || (last !== undefined && last.task === null && last.status !== "BUILD");
    };
    await until(rests, "the server has settled", SETTLED_MS).catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}\n${await this.evidence()}`);
    });
    return last as Shown | null;
  }

  /** A server that runs. */
  async running(change: Record<string, unknown> = {}): Promise<Shown & { host: HostName }> {
    const server = { name: "walker", imageRef: this.image, flavorRef: "1", networks: "none", ...change };
    const { id } = (await (await this.call("POST", "/servers", { server })).json()).server;
    const built = await this.settled(id);
    expect(built).toMatchObject({ status: "ACTIVE" });
    return built as Shown & { host: HostName };
  }

  isDown(name: HostName): boolean {
    return this.#down.has(name);
  }

  /**
   * Gives all that `host` has, as it has no server, to another one, whose guest is not built; resolves with the way to end
   * that.
   */
  async fill(host: HostName): Promise<() => Promise<void>> {
    const ram = (await this.#hypervisor(host)).memory_mb as number;
    const name = `all-${ram}`;
    await this.call("POST", "/flavors", { flavor: { id: name, name, ram, vcpus: 1, disk: 0 } });
    // The scheduler counts on what it has promised of the host until that tells how it is.
    await this.take(host, "enabled");
    const hold = this.wires[host].hold("call spawn");
    const there = { flavorRef: name, availability_zone: `nova:${host}` };
    const server = { name: "filler", imageRef: this.image, networks: "none", ...there };
    const { id } = (await (await this.call("POST", "/servers", { server })).json()).server;
    await until(async () => {
      return (await this.show(id))?.task === "spawning";
    }, "the other server has been given its room");
    return async () => {
      expect((await this.call("DELETE", `/servers/${id}`)).status).toBe(204);
      // Its end goes behind its beginning.
      await sleep(WATCH_MS);
      hold.release();
      await until(async () => (await this.show(id)) === null, "the other server is deleted", SETTLED_MS);
    };
  }

  async #hypervisor(host: HostName): Promise<Record<string, number | string>> {
    const { hypervisors } = await (await this.call("GET", "/os-hypervisors/detail")).json();
    return hypervisors.find((one: Record<string, unknown>) => one.hypervisor_hostname === host);
  }

  /** The host has lost its power: its guests and its agent are gone, and an operator has said so. */
  async lose(name: HostName, id: string): Promise<void> {
    this.#down.add(name);
    await this.hosts[name].killAgent();
    await this.hosts[name].virsh("destroy", `instance-${id}`);
    expect((await this.#forceDown(name, true)).status).toBe(200);
  }

  /** As `lose` left it, its agent runs again. */
  async return(name: HostName): Promise<void> {
    this.#down.delete(name);
    await this.hosts[name].startAgent();
    await this.linked();
  }

  /** It may have guests again, once nothing is left on it of those that were evacuated. */
  async welcome(name: HostName): Promise<void> {
    if (this.#down.has(name)) await this.return(name);
    const allowed = async () => (await this.#forceDown(name, false)).status === 200;
    await until(allowed, `${name} is not forced down any more`, SETTLED_MS);
  }

  /** Whether new servers, and those that move, may come to the host. */
  async take(host: HostName, status: "enabled" | "disabled"): Promise<void> {
    expect((await this.#changeService(host, { status })).status).toBe(200);
  }

  #forceDown(host: HostName, forced_down: boolean): Promise<Response> {
    return this.#changeService(host, { forced_down });
  }

  async #changeService(host: HostName, change: object): Promise<Response> {
    const { services } = await (await this.call("GET", `/os-services?host=${host}`, undefined, 53)).json();
    return this.call("PUT", `/os-services/${services[0].id}`, change, 53);
  }

  /** What befalls the server, and whoever of them all is dead comes back after a while of chance. */
  async befall(victim: Victim, source: HostName, id: string, dice: Dice): Promise<void> {
    const pauseMs = dice.next() * 500;
    const { edge, hosts } = this;
    if (victim === "user") {
      expect((await this.call("DELETE", `/servers/${id}`)).status).toBe(204);
      await sleep(pauseMs);
      return;
    }
    if (victim === "guest") {
      // Its user switches it off from inside; where it is at that moment is chance.
      for (const name of HOSTS) await hosts[name].virsh("destroy", `instance-${id}`).catch(() => undefined);
      await sleep(pauseMs);
      return;
    }
    if (victim === "way") for (const wire of Object.values(this.wires)) wire.cut("reset");
    const agents = { source: [source], destination: [other(source)], all: [...HOSTS], edge: [], way: [] }[victim];
    const withEdge = victim === "edge" || victim === "all";
    const alive = agents.filter((name) => !this.#down.has(name));
    await Promise.all([...alive.map((name) => hosts[name].killAgent()), withEdge ? edge.kill() : undefined]);
    await sleep(pauseMs);
    for (const wire of Object.values(this.wires)) wire.mend();
    if (withEdge) await edge.start();
    for (const name of agents) await hosts[name].startAgent();
    for (const name of agents) this.#down.delete(name);
    await this.linked();
  }

  /** Where domains of the guest are, running or not. */
  async domains(id: string): Promise<{ all: HostName[]; running: HostName[] }> {
    const found = { all: [] as HostName[], running: [] as HostName[] };
    for (const name of HOSTS) {
      if ((await this.hosts[name].domains()).includes(`instance-${id}`)) found.all.push(name);
      if (await this.#runsOn(name, id)) found.running.push(name);
    }
    return found;
  }

  async #runsOn(name: HostName, id: string): Promise<boolean> {
    return (await this.hosts[name].running()).includes(`instance-${id}`);
  }

  /** Looks again and again where the guest runs, while `work` goes on: it may never be on two hosts at once. */
  async watched<T>(id: string, work: () => Promise<T>): Promise<T> {
    let over = false;
    let twice = 0;
    const look = async () => {
      for (; !over; await sleep(WATCH_MS)) {
        if (!(await this.#runsOn("hv1", id)) || !(await this.#runsOn("hv2", id))) continue;
        // It may have gone from the one to the other between the two looks, and does not come back so soon.
        if (await this.#runsOn("hv1", id)) twice += 1;
      }
    };
    const looking = look();
    const done = await work().finally(() => {
      over = true;
      return looking;
    });
    expect(twice, "looks that found it running on two hosts").toBe(0);
    return done;
  }

  async #claims(): Promise<Record<string, number[]>> {
    const { hypervisors } = await (await this.call("GET", "/os-hypervisors/detail")).json();
    return Object.fromEntries(
      hypervisors.map((one: Record<string, number | string>) => [
        one.hypervisor_hostname,
        [one.running_vms, one.vcpus_used, one.memory_mb_used],
      ]),
    );
  }

  async #quota(): Promise<{ in_use: number[]; reserved: number[] }> {
    const { quota_set } = await (await this.call("GET", `/os-quota-sets/${DEMO_PROJECT}/detail`)).json();
    const all = [quota_set.instances, quota_set.cores, quota_set.ram];
    return { in_use: all.map((one) => one.in_use), reserved: all.map((one) => one.reserved) };
  }

  /** How the server's moves stand, the latest first. */
  async moves(id: string): Promise<string[]> {
    const { migrations } = await (await this.call("GET", `/os-migrations?instance_uuid=${id}`)).json();
    return migrations.map(({ status }: { status: string }) => status);
  }

  /** What an operator reads of why its last action failed. */
  async reason(id: string): Promise<string> {
    const path = `/servers/${id}/os-instance-actions`;
    const { instanceActions } = await (await this.call("GET", path, undefined, 84)).json();
    const { request_id } = instanceActions[0];
    const { instanceAction } = await (await this.call("GET", `${path}/${request_id}`, undefined, 84)).json();
    return instanceAction.events.map(({ details }: { details: string | null }) => details).join(" ");
  }

  /** All there is of the server: `end` says where, and there is nothing anywhere of one that is gone (null). */
  async isAllOf(id: string, end: Shown | null): Promise<void> {
    const host = end?.host as HostName | undefined;
    const flavor = end === null ? undefined : (await this.flavors()).get(end.flavor);
    const holds = [1, flavor?.vcpus ?? 0, flavor?.ram ?? 0];
    const nothing = [0, 0, 0];
    const each = <T>(there: T, elsewhere: T) =>
      Object.fromEntries(HOSTS.map((name) => [name, name === host ? there : elsewhere]));
    const here = host === undefined ? [] : [host];
    const runs = end?.status === "ACTIVE";
    const none = each<string[]>([], []);
    const right = {
      domains: { all: here, running: runs ? here : [] },
      processes: runs ? 1 : 0,
      folders: each([id], this.#shared === null ? [] : here.map(() => id)),
      sockets: none,
      listening: [] as string[],
      claims: each(holds, nothing),
      quota: { in_use: end === null ? nothing : holds, reserved: nothing },
      "moves that are not over": [] as string[],
      "calls under way": none,
      "halves of files": none,
    };
    let found: unknown;
    const same = async () => {
      found = await this.#found(id);
      return isDeepStrictEqual(found, right);
    };
    const healed = await until(same, "all of it is in one place", SETTLED_MS).catch(() => false);
    expect(found, healed ? "" : await this.evidence()).toEqual(right);
  }

  async #found(id: string): Promise<unknown> {
    const { hosts } = this;
    const each = async <T>(of: (name: HostName) => Promise<T> | T) =>
      Object.fromEntries(await Promise.all(HOSTS.map(async (name) => [name, await of(name)])));
    return {
      domains: await this.domains(id),
      processes: processesOf(id).length,
      folders: await each((name) => hosts[name].folders()),
      sockets: await each((name) => hosts[name].sockets()),
      listening: readFileSync("/proc/net/unix", "utf8").match(new RegExp(`\\S*edgenova-move-${id}\\S*`, "g")) ?? [],
      claims: await this.#claims(),
      quota: await this.#quota(),
      "moves that are not over": (await this.moves(id)).filter((status) => !OVER.includes(status)),
      "calls under way": await each(async (name) => openCalls(await hosts[name].state())),
      "halves of files": await each(async (name) => {
        const state = await hosts[name].state();
        const folders = ["images", "snapshots"].flatMap((folder) => namesIn(join(state, folder)));
        const own = (await hosts[name].folders()).includes(id) ? await hosts[name].files(id) : [];
        return [...folders, ...own].filter((file) => /\.(part|tmp|new)$|^leaving$/.test(file));
      }),
    };
  }

  async flavors(): Promise<Map<string, { vcpus: number; ram: number }>> {
    const { flavors } = await (await this.call("GET", "/flavors/detail")).json();
    return new Map(flavors.map((flavor: { name: string }) => [flavor.name, flavor]));
  }

  /** After a case that failed in the middle: what comes after it begins with nothing. */
  async sweep(): Promise<void> {
    for (const name of this.#down) await this.return(name);
    const { servers } = await (await this.call("GET", "/servers")).json();
    for (const { id } of servers) await this.call("DELETE", `/servers/${id}`);
  }

  /** Deletes the server, unless it is gone; nothing may be left of it. */
  async clear(id: string): Promise<void> {
    if ((await this.show(id)) !== null) expect((await this.call("DELETE", `/servers/${id}`)).status).toBe(204);
    await until(async () => (await this.show(id)) === null, "it is deleted", SETTLED_MS);
    await this.isAllOf(id, null);
  }

  /** The ends of all logs, for a person who asks why. */
  async evidence(): Promise<string> {
    const logs = await Promise.all(HOSTS.map((name) => this.hosts[name].agentLog()));
    const parts = logs.map((text, at) => `${HOSTS[at]}:\n${text.split("\n").slice(-40).join("\n")}`);
    return [...parts, `edge:\n${lastLines(join(this.edge.dir, "edge.log"), 60)}`].join("\n");
  }
}
