/** An edge, two hosts with agents, and a server on the first of them, to be moved between them through the API. */
import { expect } from "vitest";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { ask, startTestEdge, type TestEdge, until } from "../edge.ts";
import type { AgentHost } from "./agent-host.ts";
import { MovingHosts, type Served } from "./moving-hosts.ts";

export const V21 = "/compute/v2.1";
const HOSTS = ["hv1", "hv2"] as const;
export type HostName = (typeof HOSTS)[number];
/** The other of the two. */
export const otherThan = (host: HostName): HostName => (host === "hv1" ? "hv2" : "hv1");

type Parts = { edge: TestEdge; machines: MovingHosts; hosts: Record<HostName, Served<AgentHost>> };

export class MovingServers {
  readonly edge: TestEdge;
  readonly hosts: Parts["hosts"];
  readonly #machines: MovingHosts;
  server = "";

  private constructor({ edge, machines, hosts }: Parts) {
    this.edge = edge;
    this.hosts = hosts;
    this.#machines = machines;
  }

  /** `toml`: a host's agent.toml; `shared` is a folder that both see. */
  static async open(toml: (host: HostName, shared: string) => Promise<string>): Promise<MovingServers> {
    const edge = await startTestEdge({
      RESERVED_HOST_MEMORY_MB: "0",
      SHUTDOWN_TIMEOUT: "1",
      ALLOW_RESIZE_TO_SAME_HOST: "true",
    });
    const machines = await MovingHosts.open();
    const hosts = {} as Parts["hosts"];
    for (const name of HOSTS) {
      hosts[name] = await machines.start<AgentHost>(name, "agent-host.ts");
      await hosts[name].join(edge.url, await edge.cloud.joinToken(name), name, await toml(name, machines.shared));
    }
    const world = new MovingServers({ edge, machines, hosts });
    await until(async () => (await world.#upHosts()) === HOSTS.length, "both are up", 60_000);
    const image = await edge.cloud.createImage("demo", "raw", demoDisk());
    const made = { name: "walker", imageRef: image, flavorRef: "1", networks: "none", availability_zone: "nova:hv1" };
    world.server = (await ask(edge, "POST", `${V21}/servers`, { body: { server: made } })).body.server.id;
    expect(await edge.cloud.built(world.server, 60_000)).toMatchObject({ status: "ACTIVE" });
    return world;
  }

  async close(): Promise<void> {
    await this.#machines.stop(Object.values(this.hosts));
    await this.edge.close();
  }

  get shared(): string {
    return this.#machines.shared;
  }

  async show() {
    return (await ask(this.edge, "GET", `${V21}/servers/${this.server}`, { minor: 79 })).body.server;
  }

  async act(body: object, status = 202, minor = 79): Promise<void> {
    const path = `${V21}/servers/${this.server}/action`;
    expect(await ask(this.edge, "POST", path, { body, minor })).toMatchObject({ status });
  }

  /** The server, once it is that, and nothing is being done to it. */
  becomes(status: string) {
    return until(
      async () => {
        const now = await this.show();
        if (now.status === "ERROR" && status !== "ERROR") throw new Error(JSON.stringify(now.fault));
        return now.status === status && now["OS-EXT-STS:task_state"] === null && now;
      },
      `the server is ${status}`,
      90_000,
    );
  }

  async migrations() {
    return (await ask(this.edge, "GET", `${V21}/os-migrations`, { minor: 80 })).body.migrations;
  }

  async changeService(host: HostName, body: object): Promise<number> {
    const [{ id }] = (await ask(this.edge, "GET", `${V21}/os-services?host=${host}`, { minor: 53 })).body.services;
    return (await ask(this.edge, "PUT", `${V21}/os-services/${id}`, { minor: 53, body })).status;
  }

  /** The guest is on that host, and the other has none, and no claim of one. */
  async expectGuestOn(host: HostName): Promise<void> {
    const other = otherThan(host);
    expect((await this.show())["OS-EXT-SRV-ATTR:host"]).toBe(host);
    expect(await this.hosts[host].domains()).toEqual([`instance-${this.server}`]);
    await until(async () => (await this.hosts[other].domains()).length === 0, `${other} has no guest`);
    await until(async () => (await this.#running(other)) === 0, `${other} has no claim`);
    expect(await this.#running(host)).toBe(1);
  }

  async #running(host: HostName): Promise<number> {
    const { hypervisors } = (await ask(this.edge, "GET", `${V21}/os-hypervisors/detail`)).body;
    const found = hypervisors.find((one: { hypervisor_hostname: string }) => one.hypervisor_hostname === host);
    return found.running_vms;
  }

  async #upHosts(): Promise<number> {
    const { services } = (await ask(this.edge, "GET", `${V21}/os-services`)).body;
    return services.filter((one: { state: string }) => one.state === "up").length;
  }
}
