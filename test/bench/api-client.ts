/** The compute API as a bench asks it: one token, one image, and servers of the smallest flavor. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { demoImage, login } from "../edge.ts";
import type { Edge } from "./target.ts";

const POLL_MS = 5;
const ACTIVE_TIMEOUT_MS = 20_000;
/** The most that one request makes. */
const MAX_COUNT = 500;
const MANY_TIMEOUT_MS = 300_000;

const created = z.object({ server: z.object({ id: z.string() }) });
const shown = z.object({ server: z.object({ status: z.string() }) });
const listed = z.object({ servers: z.array(z.object({ id: z.string(), status: z.string() })) });

export class ApiClient {
  readonly #url: string;
  readonly #image: string;
  readonly #headers: Record<string, string>;

  private constructor(url: string, image: string, token: string) {
    this.#url = url;
    this.#image = image;
    this.#headers = {
      "x-auth-token": token,
      "content-type": "application/json",
    };
  }

  static async of({ url, cloud }: Pick<Edge, "url" | "cloud">): Promise<ApiClient> {
    return new ApiClient(url, await demoImage(cloud), await login(url));
  }

  /** Rejects when the answer is not a success. */
  async call(method: string, path: string, body?: unknown, version = "2.61"): Promise<unknown> {
    const headers = { ...this.#headers, "openstack-api-version": `compute ${version}` };
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const response = await fetch(`${this.#url}/compute/v2.1${path}`, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 200)}`);
    return text === "" ? null : JSON.parse(text);
  }

  /** The answer to POST. */
  async create(name: string, count = 1, flavorRef = "1"): Promise<string> {
    const many = count === 1 ? {} : { min_count: count };
    const server = { name, imageRef: this.#image, flavorRef, networks: "none", ...many };
    return created.parse(await this.call("POST", "/servers", { server })).server.id;
  }

  /** A server that is seen to be ACTIVE, polled for every POLL_MS. */
  async createActive(name: string): Promise<string> {
    const id = await this.create(name);
    for (const deadline = Date.now() + ACTIVE_TIMEOUT_MS; ; await sleep(POLL_MS)) {
      const { status } = shown.parse(await this.call("GET", `/servers/${id}`)).server;
      if (status === "ACTIVE") return id;
      if (status !== "BUILD" || Date.now() > deadline) throw new Error(`server ${name} is ${status}`);
    }
  }

  /** Makes servers until the project has `count` of them, all ACTIVE; returns their ids. */
  async fill(count: number): Promise<string[]> {
    for (let have = (await this.list()).length; have < count; ) {
      const more = Math.min(MAX_COUNT, count - have);
      await this.create(`filled-${have}`, more);
      have += more;
    }
    for (const deadline = Date.now() + MANY_TIMEOUT_MS; ; await sleep(100)) {
      const servers = await this.list();
      if (servers.every(({ status }) => status === "ACTIVE")) return servers.map(({ id }) => id);
      if (Date.now() > deadline) throw new Error("not all servers became ACTIVE");
    }
  }

  async list(): Promise<{ id: string; status: string }[]> {
    return listed.parse(await this.call("GET", "/servers/detail")).servers;
  }

  /** The answer with a console's URL. */
  openConsole(id: string): Promise<unknown> {
    const remote_console = { protocol: "vnc", type: "novnc" };
    return this.call("POST", `/servers/${id}/remote-consoles`, { remote_console });
  }
}
