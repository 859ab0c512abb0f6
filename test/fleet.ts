/** Many agents that do no more than keep their links: each with the real enrolment and `Link`, and a host of no guests. */
import { join } from "node:path";
import type { BackoffOptions } from "../agent/backoff.ts";
import { enroll } from "../agent/enroll.ts";
import { type Identity, loadIdentity } from "../agent/identity.ts";
import { Link } from "../agent/link.ts";
import type { Cloud } from "../agent/up/cloud.ts";
import { type FromAgent, VERSIONS } from "../functions/protocol/frames.ts";

/** Enrolments at a time. */
const WIDTH = 8;
const REFUSED = /refused with (\d+)/;

export type FleetOptions = { edge: string; cloud: Cloud; count: number; dir: string; retry?: BackoffOptions };

export class Fleet {
  /** Who is linked now. */
  readonly linked = new Set<string>();
  /** When each link came up, by performance.now. */
  ups: number[] = [];
  /** What the edge refused, in the agents' words. */
  refusals: string[] = [];
  /** Lines that the agents logged. */
  lines = 0;
  readonly #links: Map<string, Link>;

  /** Enrols hosts `light-1` and on, and dials from all of them at once. */
  static async start({ edge, cloud, count, dir, retry }: FleetOptions): Promise<Fleet> {
    const hosts = Array.from({ length: count }, (_, i) => `light-${i + 1}`);
    const identities: Identity[] = [];
    const left = [...hosts];
    const lane = async () => {
      for (let host = left.pop(); host !== undefined; host = left.pop()) {
        const stateDir = join(dir, host);
        await enroll({ edge, host, stateDir, joinToken: await cloud.joinToken(host) });
        identities.push(await loadIdentity(stateDir));
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, lane));
    return new Fleet(identities, retry);
  }

  private constructor(identities: readonly Identity[], retry?: BackoffOptions) {
    this.#links = new Map(identities.map((identity) => [identity.host, this.#link(identity, retry)]));
    for (const link of this.#links.values()) void link.run();
  }

  /** Ends one agent, as a power cut does: its host says no goodbye where there is nobody to hear it. */
  async kill(host: string): Promise<void> {
    await this.#links.get(host)?.stop();
    this.#links.delete(host);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.stop()));
  }

  #link(identity: Identity, retry?: BackoffOptions): Link {
    const { host } = identity;
    return new Link({
      identity,
      hello: async () => hello(host),
      onCall: () => Promise.reject(new Error("a light agent is not called")),
      onDeleted: () => undefined,
      onAck: () => undefined,
      onConsoleNoted: () => undefined,
      onWelcome: () => undefined,
      log: (event, { message }: { message?: unknown } = {}) => this.#logged(host, event, String(message)),
      ...(retry ? { retry } : {}),
    });
  }

  #logged(host: string, event: string, message: string): void {
    this.lines += 1;
    if (event === "link.up") {
      this.linked.add(host);
      this.ups.push(performance.now());
    } else {
      this.linked.delete(host);
      if (REFUSED.test(message)) this.refusals.push(message);
    }
  }
}

function hello(host: string): FromAgent {
  const size = { vcpus: 16, memory_mb: 32_768, local_gb: 500 };
  return {
    t: "hello",
    host,
    agent: "light",
    versions: VERSIONS,
    capabilities: [],
    inventory: { hypervisor_hostname: host, hypervisor_type: "light", hypervisor_version: 1, ...size },
    guests: [],
  };
}
