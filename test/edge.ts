/** An edge in this process, for tests in Node: real workerd, real objects, an address on loopback. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createTestHarness } from "wrangler";
import { type RunningAgent, startAgent } from "../agent/agent.ts";
import { parseConfig } from "../agent/config.ts";
import { loadDriver } from "../agent/drivers/load.ts";
import { enroll } from "../agent/enroll.ts";
import { loadIdentity } from "../agent/identity.ts";
import { Cloud } from "../agent/up/cloud.ts";
import { demoDisk } from "../agent/up/demo-disk.ts";
import { expectNoSecrets } from "./log-scan.ts";
import { TEST_SECRETS } from "./secrets.ts";

export type Harness = ReturnType<typeof createTestHarness>;

export type TestEdge = {
  url: string;
  harness: Harness;
  /** A client that is logged in as the admin. */
  cloud: Cloud;
  /** Any request; a path is under the edge, and `token` is added unless it is null. */
  call(method: string, path: string, options?: CallOptions): Promise<Response>;
  /** Enrols a host and runs its agent with the fake driver, in this process. */
  agent(host: string, options?: TestAgentOptions): Promise<TestAgent>;
  close(): Promise<void>;
};
export type CallOptions = {
  body?: unknown;
  headers?: Record<string, string>;
  token?: string | null;
  /** The microversion 2.x that is asked for; 61 unless told. */
  minor?: number;
};
/** `toml`: its agent.toml. */
export type TestAgentOptions = {
  vcpus?: number;
  memory_mb?: number;
  local_gb?: number;
  stateDir?: string;
  toml?: string;
};
export type TestAgent = { host: string; stateDir: string; logs: Record<string, unknown>[]; agent: RunningAgent };

/** The project that the admin's token is for. */
export const DEMO_PROJECT = "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** `root`: where its wrangler.toml is; `others`: the configs of the Workers that it is bound to. */
export async function startTestEdge(
  vars: Record<string, string> = {},
  { root = ROOT, others = [] }: { root?: string; others?: string[] } = {},
): Promise<TestEdge> {
  const harness = createTestHarness({
    root,
    workers: [
      { configPath: "./wrangler.toml", vars, secrets: TEST_SECRETS },
      ...others.map((configPath) => ({ configPath })),
    ],
  });
  const address = await harness.listen();
  const url = address.url.href.replace(/\/$/, "");
  const cloud = await Cloud.login(url, TEST_SECRETS.ADMIN_PASSWORD);
  const token = await login(url);
  const made: TestAgent[] = [];
  return {
    url,
    harness,
    cloud,
    call(method, path, options = {}) {
      const { body, headers = {}, minor = 61 } = options;
      const auth = options.token === null ? {} : { "x-auth-token": options.token ?? token };
      return fetch(`${url}${path}`, {
        method,
        headers: {
          "content-type": "application/json",
          "openstack-api-version": `compute 2.${minor}`,
          ...auth,
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
    },
    async agent(host, options = {}) {
      const running = await startTestAgent(url, cloud, host, options);
      made.push(running);
      return running;
    },
    async close() {
      for (const { agent, stateDir } of made) {
        await agent.stop();
        rmSync(stateDir, { recursive: true, force: true });
      }
      const logs = JSON.stringify([harness.getLogs(), made.map((one) => one.logs)]);
      await harness.close();
      expectNoSecrets(logs, "an edge and its agents");
    },
  };
}

/** A token of the admin in the demo project. */
export async function login(url: string, secret = TEST_SECRETS.ADMIN_PASSWORD): Promise<string> {
  const Default = { id: "default" };
  const password = { user: { name: "admin", domain: Default, password: secret } };
  const response = await fetch(`${url}/identity/v3/auth/tokens`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      auth: { identity: { methods: ["password"], password }, scope: { project: { name: "demo", domain: Default } } },
    }),
  });
  return response.headers.get("x-subject-token") ?? "";
}

async function startTestAgent(url: string, cloud: Cloud, host: string, options: TestAgentOptions): Promise<TestAgent> {
  const { stateDir = mkdtempSync(join(tmpdir(), "edgenova-")), toml = "", ...size } = options;
  const given = parseConfig(toml);
  const config = { ...given, fake: { ...given.fake, ...size } };
  await enroll({ edge: url, joinToken: await cloud.joinToken(host), host, stateDir });
  const logs: Record<string, unknown>[] = [];
  const agent = await startAgent({
    stateDir,
    identity: await loadIdentity(stateDir),
    config,
    driverName: "fake",
    loadDriver: (context) => loadDriver({ driver: "fake", host, config }, context),
    version: "test",
    log: (event, fields = {}) => void logs.push({ event, ...fields }),
  });
  await until(() => logs.some(({ event }) => event === "link.up"), "the agent's link is up");
  return { host, stateDir, logs, agent };
}

/** An active public image that every driver can boot. */
export function demoImage(cloud: Cloud, name = "demo"): Promise<string> {
  return cloud.createImage(name, "raw", demoDisk());
}

/** Asks with JSON and reads the answer's. */
export async function ask(edge: TestEdge, method: string, path: string, options: CallOptions = {}) {
  const response = await edge.call(method, path, options);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

/** Waits until `holds` gives something true, and returns it; rejects after `timeoutMs` with what was waited for. */
export async function until<T>(holds: () => T | Promise<T>, what: string, timeoutMs = 20_000): Promise<NonNullable<T>> {
  for (const deadline = Date.now() + timeoutMs; ; await sleep(25)) {
    const value = await holds();
    if (value) return value as NonNullable<T>;
    if (Date.now() > deadline) throw new Error(`it did not come true in ${timeoutMs} ms that ${what}`);
  }
}
