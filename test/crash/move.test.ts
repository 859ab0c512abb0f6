/**
 * Moves of a real guest between two real hosts (libvirtd, QEMU under TCG, an agent each), with somebody killed at a moment
 * of chance: the source's agent, the destination's, the edge, the guest, or the way between the hosts at whatever byte it
 * is. What must hold afterwards: the guest is on one host and never on two, and nothing is left of it on the other: no
 * domain, no file, no socket, no claim.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { until } from "../edge.ts";
import { KillableEdge } from "../killable-edge.ts";
import type { AgentHost } from "../real/agent-host.ts";
import { LIBVIRT_NEEDS } from "../real/libvirtd.ts";
import { MovingHosts, type Served } from "../real/moving-hosts.ts";
import { needs } from "../real/requirement.ts";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import { login, type Shown, shown } from "./shown.ts";
import { Wire } from "./wire.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const HOSTS = ["hv1", "hv2"] as const;
type HostName = (typeof HOSTS)[number];
const other = (host: HostName): HostName => (host === "hv1" ? "hv2" : "hv1");
const TIMEOUT_MS = 240_000;
const SETTLED_MS = 120_000;

/** How long each takes when nothing happens, milliseconds: the moment is somewhere in it. */
const MOVES = {
  "live migration": { body: { "os-migrateLive": { host: null, block_migration: "auto" } }, takesMs: 3_500 },
  migration: { body: { migrate: null }, takesMs: 2_500 },
  resize: { body: { resize: { flavorRef: "2" } }, takesMs: 2_500 },
  "resize where it is": { body: { resize: { flavorRef: "2" } }, takesMs: 2_500 },
} as const;
const STAYS: ReadonlySet<string> = new Set(["resize where it is"] satisfies MoveName[]);
type MoveName = keyof typeof MOVES;
const VICTIMS = ["source", "destination", "edge", "all", "guest", "way"] as const;
type Victim = (typeof VICTIMS)[number];
type Case = { move: MoveName; victim: Victim };

const ALL: Case[] = (Object.keys(MOVES) as MoveName[]).flatMap((move) =>
  VICTIMS.filter((victim) => !(STAYS.has(move) && victim === "destination")).map((victim) => ({ move, victim })),
);
/** MiB that a server of each flavor holds. */
const RAM: Record<string, number> = { "m1.tiny": 512, "m1.small": 2048 };

describe.skipIf(!needs("the crash test of moves", ["/usr/bin/unshare", ...paths], apt))("a server on its way", () => {
  const edge = new KillableEdge({
    RESERVED_HOST_MEMORY_MB: "0",
    SHUTDOWN_TIMEOUT: "1",
    QUOTA_RAM: "-1",
    ALLOW_RESIZE_TO_SAME_HOST: "true",
  });
  const hosts = {} as Record<HostName, Served<AgentHost>>;
  const dice = new Dice(SEED);
  /** Between each host and the edge, and so between the hosts. */
  const wires: Wire[] = [];
  let machines: MovingHosts;
  let token: string;
  let image: string;

  beforeAll(async () => {
    await edge.start();
    token = await login(edge.url, edge.password);
    const cloud = await edge.cloud();
    machines = await MovingHosts.open();
    for (const name of HOSTS) {
      hosts[name] = await machines.start<AgentHost>(name, "agent-host.ts");
      const wire = await Wire.start(() => Number(new URL(edge.url).port));
      wires.push(wire);
      await hosts[name].join(wire.url, await cloud.joinToken(name), name, "");
    }
    image = await cloud.createImage("demo", "raw", demoDisk());
    await allUp();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await machines?.stop(Object.values(hosts));
    for (const wire of wires) await wire.close();
    await edge.close();
  }, TIMEOUT_MS);

  async function call(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(`${edge.url}/compute/v2.1${path}`, {
      method,
      headers: {
        "x-auth-token": token,
        "content-type": "application/json",
        "openstack-api-version": "compute 2.61",
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
  const act = (id: string, body: object) => call("POST", `/servers/${id}/action`, body);

  async function show(id: string): Promise<Shown | null> {
    const response = await call("GET", `/servers/${id}`);
    return response.status === 404 ? null : shown((await response.json()).server);
  }

  /** Both agents are linked to the edge that runs now. */
  const allUp = () =>
    until(
      async () => {
        const logs = await Promise.all(HOSTS.map((name) => hosts[name].linkState()));
        return logs.every((state) => state === "link.up");
      },
      "both agents are linked",
      SETTLED_MS,
    );

  async function settled(id: string): Promise<Shown> {
    let last: Shown | null = null;
    await until(
      async () => {
        last = await show(id).catch(() => last);
        return last !== null && last.task === null && last.status !== "BUILD";
      },
      "the server has settled",
      SETTLED_MS,
    );
    return last as unknown as Shown;
  }

  async function running(): Promise<string> {
    const server = { name: "walker", imageRef: image, flavorRef: "1", networks: "none" };
    const { id } = (await (await call("POST", "/servers", { server })).json()).server;
    expect(await settled(id)).toMatchObject({ status: "ACTIVE" });
    return id;
  }

  async function kill(victim: Victim, source: HostName, id: string): Promise<void> {
    const agents: HostName[] = victim === "all" ? [...HOSTS] : [];
    if (victim === "source") agents.push(source);
    if (victim === "destination") agents.push(other(source));
    if (victim === "guest") {
      // Its user switches it off from inside; where it is at that moment is chance.
      for (const name of HOSTS) await hosts[name].virsh("destroy", `instance-${id}`).catch(() => undefined);
    }
    if (victim === "way") for (const wire of wires) wire.cut("reset");
    const withEdge = victim === "edge" || victim === "all";
    await Promise.all([...agents.map((name) => hosts[name].killAgent()), withEdge ? edge.kill() : undefined]);
    await sleep(dice.next() * 500);
    for (const wire of wires) wire.mend();
    if (withEdge) await edge.start();
    for (const name of agents) await hosts[name].startAgent();
    await allUp();
  }

  /** Where domains of the guest are, running or not. */
  async function domains(id: string): Promise<{ all: HostName[]; running: HostName[] }> {
    const found = { all: [] as HostName[], running: [] as HostName[] };
    for (const name of HOSTS) {
      if ((await hosts[name].domains()).includes(`instance-${id}`)) found.all.push(name);
      const live = (await hosts[name].virsh("list", "--name")).split("\n");
      if (live.includes(`instance-${id}`)) found.running.push(name);
    }
    return found;
  }

  /** MiB that are claimed of each host. */
  async function claims(): Promise<Record<string, number>> {
    const { hypervisors } = await (await call("GET", "/os-hypervisors/detail")).json();
    return Object.fromEntries(
      hypervisors.map((one: { hypervisor_hostname: string; memory_mb_used: number }) => [
        one.hypervisor_hostname,
        one.memory_mb_used,
      ]),
    );
  }

  /** Whether new servers, and those that move, may come to the host. */
  async function take(host: HostName, status: "enabled" | "disabled"): Promise<void> {
    const { services } = await (await call("GET", `/os-services?host=${host}`)).json();
    expect((await call("PUT", `/os-services/${services[0].id}`, { status })).status).toBe(200);
  }

  /** What there is of the guest is on its host alone. */
  async function isOn({ id, host: on, flavor, status }: Shown): Promise<void> {
    const host = on as HostName;
    const runs = status === "ACTIVE";
    const away = other(host);
    const right = {
      domains: { all: [host], running: runs ? [host] : [] },
      folders: { [host]: [id], [away]: [] as string[] },
      sockets: { [host]: [] as string[], [away]: [] as string[] },
      claims: { [host]: RAM[flavor], [away]: 0 },
    };
    let found: unknown;
    await until(
      async () => {
        found = {
          domains: await domains(id),
          folders: { [host]: await hosts[host].folders(), [away]: await hosts[away].folders() },
          sockets: { [host]: await hosts[host].sockets(), [away]: await hosts[away].sockets() },
          claims: await claims(),
        };
        return isDeepStrictEqual(found, right);
      },
      "all of it is in one place",
      SETTLED_MS,
    ).catch(() => undefined);
    expect(found).toEqual(right);
  }

  it.each(new Dice(SEED).shuffled(ALL).slice(0, ROUNDS))(
    "$move, $victim killed",
    { timeout: 2 * TIMEOUT_MS },
    async ({ move, victim }) => {
      againIfItFails();
      const id = await running();
      const source = (await show(id))?.host as HostName;
      const { body, takesMs } = MOVES[move];
      const afterMs = Math.round(dice.next() * takesMs);
      const to = STAYS.has(move) ? source : other(source);
      if (to === source) {
        onTestFinished(() => take(other(source), "enabled"));
        await take(other(source), "disabled");
      }
      told(`${move}, ${victim} killed after ${afterMs} ms`);
      expect((await act(id, body)).status).toBe(202);
      await sleep(afterMs);
      expect((await domains(id)).running.length).toBeLessThanOrEqual(1);
      await kill(victim, source, id);
      let end = await settled(id);
      expect((await domains(id)).running.length).toBeLessThanOrEqual(1);
      told(`it rests ${end.status} on ${end.host}`);
      if (end.status === "VERIFY_RESIZE") {
        expect(end.host).toBe(to);
        const confirm = dice.next() < 0.5;
        const answer = await act(id, confirm ? { confirmResize: null } : { revertResize: null });
        expect(answer.status).toBe(confirm ? 204 : 202);
        end = await settled(id);
        expect(end.host).toBe(confirm ? to : source);
      }
      expect(["ACTIVE", "SHUTOFF"], JSON.stringify(end)).toContain(end.status);
      // A guest that ended by itself is found out by the next look at it.
      if (victim === "guest" && end.status === "ACTIVE" && (await domains(id)).running.length === 0) {
        await until(async () => (await show(id))?.status === "SHUTOFF", "it is known to be off", SETTLED_MS);
        end = await settled(id);
      }
      await isOn(end);
      if (end.status === "SHUTOFF") {
        expect((await act(id, { "os-start": null })).status).toBe(202);
        expect(await settled(id)).toMatchObject({ status: "ACTIVE", host: end.host });
      }
      expect((await call("DELETE", `/servers/${id}`)).status).toBe(204);
      await until(async () => (await show(id)) === null, "it is deleted", SETTLED_MS);
      await until(async () => (await domains(id)).all.length === 0, "no guest is left", SETTLED_MS);
      await until(async () => Object.values(await claims()).every((count) => count === 0), "no claim is left");
      for (const name of HOSTS) {
        expect(await hosts[name].folders()).toEqual([]);
        expect(await hosts[name].sockets()).toEqual([]);
      }
    },
  );
});
