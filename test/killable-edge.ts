/** An edge as `npm start` runs it, which can be killed, and started again on the same state and address. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cloud } from "../agent/up/cloud.ts";
import { edgeReady, ensureSecrets, startEdge } from "../agent/up/edge.ts";
import { login } from "./edge.ts";
import { freePort } from "./free-port.ts";
import { expectNoSecretsIn } from "./log-scan.ts";
import { childWith, killGroup } from "./process-tree.ts";

export class KillableEdge {
  readonly dir = mkdtempSync(join(tmpdir(), "edgenova-killable-"));
  readonly password = ensureSecrets();
  readonly #vars: Record<string, string>;
  #port = 0;
  #group: number | null = null;
  #token = "";

  constructor(vars: Record<string, string> = {}) {
    this.#vars = vars;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  cloud(): Promise<Cloud> {
    return Cloud.login(this.url, this.password);
  }

  async start(): Promise<void> {
    this.#port ||= await freePort();
    // A runtime that is killed leaves its temporary files.
    const { TMPDIR = tmpdir() } = process.env;
    process.env.TMPDIR = join(this.dir, "tmp");
    mkdirSync(process.env.TMPDIR, { recursive: true });
    const child = startEdge({ port: this.#port, stateDir: this.dir, vars: this.#vars });
    process.env.TMPDIR = TMPDIR;
    this.#group = childWith(join(this.dir, "edge"));
    await edgeReady(this.url, child);
    this.#token ||= await login(this.url, this.password);
  }

  async kill(): Promise<void> {
    if (this.#group !== null) await killGroup(this.#group);
    this.#group = null;
  }

  /** State and last sign of life of each host, as an operator lists them. */
  async services(): Promise<Map<string, string>> {
    const headers = { "x-auth-token": this.#token, "openstack-api-version": "compute 2.61" };
    const { services } = await (await fetch(`${this.url}/compute/v2.1/os-services`, { headers })).json();
    return new Map(services.map(({ host, state }: { host: string; state: string }) => [host, state]));
  }

  async close(): Promise<void> {
    await this.kill();
    expectNoSecretsIn(this.dir);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
