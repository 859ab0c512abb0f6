/** A small client of the edge's own API: what `npm start` needs to set up a demo. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Failure } from "../failure.ts";

const TIMEOUT_MS = 60_000;
const POLL_MS = 150;

const named = z.object({ id: z.string(), name: z.string().nullable() });
const server = z.object({
  id: z.string(),
  name: z.string(),
  status: z.string(),
  fault: z.object({ message: z.string() }).optional(),
});
export type Server = z.infer<typeof server>;

export class Cloud {
  readonly #url: string;
  readonly #token: string;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** Logs in as the admin of the demo project. */
  static async login(url: string, password: string): Promise<Cloud> {
    const Default = { id: "default" };
    const identity = { methods: ["password"], password: { user: { name: "admin", domain: Default, password } } };
    const response = await fetch(`${url}/identity/v3/auth/tokens`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ auth: { identity, scope: { project: { name: "demo", domain: Default } } } }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const token = response.headers.get("x-subject-token");
    if (token === null) throw new Failure(`the edge did not let the admin in: ${response.status}`);
    return new Cloud(url, token);
  }

  /** A one-time token with which `host` may enrol. */
  async joinToken(host: string): Promise<string> {
    const body = await this.#json("POST", "/agent/v1/join-tokens", { host });
    return z.object({ join_token: z.string() }).parse(body).join_token;
  }

  async findImage(name: string): Promise<string | null> {
    const query = new URLSearchParams({ name, status: "active" });
    const { images } = z.object({ images: z.array(named) }).parse(await this.#json("GET", `/image/v2/images?${query}`));
    return images[0]?.id ?? null;
  }

  async createImage(
    name: string,
    disk_format: "raw" | "qcow2" | "iso",
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<string> {
    const image = { name, disk_format, container_format: "bare", visibility: "public" };
    const { id } = named.parse(await this.#json("POST", "/image/v2/images", image));
    await this.#send("PUT", `/image/v2/images/${id}/file`, bytes, "application/octet-stream");
    return id;
  }

  async findServer(name: string): Promise<Server | null> {
    const query = new URLSearchParams({ name: `^${name}$` });
    const body = await this.#json("GET", `/compute/v2.1/servers/detail?${query}`);
    return z.object({ servers: z.array(server) }).parse(body).servers[0] ?? null;
  }

  async createServer(name: string, imageRef: string, flavorRef: string): Promise<string> {
    const wanted = { name, imageRef, flavorRef, networks: "none" };
    const body = await this.#json("POST", "/compute/v2.1/servers", { server: wanted });
    return z.object({ server: z.object({ id: z.string() }) }).parse(body).server.id;
  }

  /** The server once it has left `BUILD`. */
  async built(id: string, timeoutMs: number): Promise<Server> {
    for (const deadline = Date.now() + timeoutMs; ; await sleep(POLL_MS)) {
      const body = await this.#json("GET", `/compute/v2.1/servers/${id}`);
      const now = z.object({ server }).parse(body).server;
      if (now.status !== "BUILD") return now;
      if (Date.now() > deadline) throw new Failure(`server ${now.name} is still being built`);
    }
  }

  /** A new link to the server's screen. */
  async consoleUrl(id: string): Promise<string> {
    const remote_console = { protocol: "vnc", type: "novnc" };
    const body = await this.#json("POST", `/compute/v2.1/servers/${id}/remote-consoles`, { remote_console });
    return z.object({ remote_console: z.object({ url: z.string() }) }).parse(body).remote_console.url;
  }

  async #json(method: string, path: string, body?: unknown): Promise<unknown> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const response = await this.#send(method, path, text, "application/json");
    return response.json();
  }

  async #send(
    method: string,
    path: string,
    body: string | Uint8Array<ArrayBuffer> | undefined,
    type: string,
  ): Promise<Response> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { "x-auth-token": this.#token, "content-type": type, "openstack-api-version": "compute 2.61" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body }),
    });
    if (!response.ok)
      throw new Failure(`${method} ${path}: ${response.status} ${(await response.text()).slice(0, 300)}`);
    return response;
  }
}
