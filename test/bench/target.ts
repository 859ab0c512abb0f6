/** What a bench can open a screen through: this project in either of its splices, or websockify. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Cloud } from "../../agent/up/cloud.ts";
import { ROOT } from "../../agent/up/edge.ts";
import { type OpenedSession, SCREEN_PATH } from "../../functions/protocol/console-session.ts";
import { demoImage } from "../edge.ts";
import { TEST_SECRETS } from "../secrets.ts";
import type { BenchAgentOptions } from "./agent-process.ts";
import { type Child, startChild } from "./child.ts";
import type { BenchEdgeOptions, BenchEdgeReady } from "./edge-process.ts";
import { cpuMs, pss, tree } from "./processes.ts";

export const WEBSOCKIFY = "/usr/bin/websockify";
/** Debian's pages of noVNC, which its websockify serves. */
export const NOVNC = "/usr/share/novnc";
export const TARGETS = ["native", "relay", "websockify"] as const;
export type TargetName = (typeof TARGETS)[number];

/** What is the same for all targets of a run. */
export type Ground = {
  /** A directory that the run removes. */
  dir: string;
  /** Holds the built Worker. */
  bundleDir: string;
  screen: Child<object>;
  /** The UNIX socket that `screen` listens on. */
  screenPath: string;
};

export type Target = {
  name: TargetName;
  /**
   * A WebSocket URL that opens the screen, as often as it is used: what a person has after the API's answer. `server`:
   * of which server; there are as many as are asked for.
   */
  url(server?: number): Promise<string>;
  /** The page that shows the screen to a person. */
  page(): Promise<string>;
  /** A new session of a page: each call tells the WebSocket URL of its next connection. */
  session(): () => Promise<string>;
  /** Bytes that each part holds now. */
  memory(): Record<string, number>;
  /** Milliseconds of processor time that all parts have used so far. */
  cpuMs(): number;
  stop(): Promise<void>;
};

export type Edge = Pick<Target, "memory" | "cpuMs" | "stop"> & {
  url: string;
  cloud: Cloud;
  /** When it first answered, by performance.now. */
  answeredMs: number;
  /** How many it is, with its agent. */
  processes: number;
};

export function startTarget(name: TargetName, ground: Ground): Promise<Target> {
  return name === "websockify" ? startWebsockify(ground) : startEdgenova(name, ground);
}

async function startEdgenova(splice: "native" | "relay", ground: Ground): Promise<Target> {
  const edge = await startEdge(ground, ground.screenPath, { CONSOLE_SPLICE: splice });
  const { cloud } = edge;
  const image = demoImage(cloud);
  const servers: Promise<string>[] = [];
  const link = async (at: number) => {
    servers[at] ??= image.then((id) => created(cloud, id));
    return new URL(await cloud.consoleUrl(await servers[at]));
  };
  const tokenIn = (url: URL) => url.searchParams.get("token") ?? "";
  const socketOrigin = edge.url.replace(/^http/, "ws");
  return {
    name: splice,
    url: async (server = 0) => `${socketOrigin}/websockify?token=${tokenIn(await link(server))}`,
    page: async () => (await link(0)).href,
    session() {
      let key: string | null = null;
      return async () => {
        const at = `${edge.url}/console/v1/sessions`;
        const opened =
          key === null ? await posted(at, { token: tokenIn(await link(0)) }) : await posted(`${at}/resume`, { key });
        key = opened.key;
        return `${socketOrigin}${SCREEN_PATH}?ticket=${opened.ticket}`;
      };
    },
    memory: edge.memory,
    cpuMs: edge.cpuMs,
    stop: edge.stop,
  };
}

/** A server that is up. */
async function created(cloud: Cloud, image: string): Promise<string> {
  const server = await cloud.createServer("bench", image, "1");
  const { status } = await cloud.built(server, 20_000);
  if (status !== "ACTIVE") throw new Error(`the bench's server is ${status}`);
  return server;
}

async function posted(url: string, body: object): Promise<OpenedSession> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`no session: ${response.status} ${await response.text()}`);
  return (await response.json()) as OpenedSession;
}

/** An edge and one agent; `screen` as in BenchAgentOptions. */
export async function startEdge(
  ground: Pick<Ground, "dir" | "bundleDir">,
  screen: string | null,
  vars: Record<string, string> = {},
): Promise<Edge> {
  const options: BenchEdgeOptions = {
    bundleDir: ground.bundleDir,
    configPath: join(ROOT, "wrangler.toml"),
    vars: { ...vars, QUOTA_INSTANCES: "-1", QUOTA_CORES: "-1", QUOTA_RAM: "-1" },
  };
  const edge = await startChild<BenchEdgeReady>("edge-process", options);
  const { url, workerd } = edge.ready;
  const stateDir = mkdtempSync(join(ground.dir, "agent-"));
  try {
    const cloud = await Cloud.login(url, TEST_SECRETS.ADMIN_PASSWORD);
    const answeredMs = performance.now();
    const host = "bench";
    const joinToken = await cloud.joinToken(host);
    const agentOptions: BenchAgentOptions = { edge: url, joinToken, host, stateDir, screen };
    const agent = await startChild("agent-process", agentOptions);
    return {
      url,
      cloud,
      answeredMs,
      processes: workerd.length + 1,
      memory: () => ({ workerd: pss(workerd), agent: pss([agent.pid]) }),
      cpuMs: () => cpuMs([...workerd, agent.pid]),
      async stop() {
        await agent.stop();
        await edge.stop();
        rmSync(stateDir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await edge.stop();
    throw error;
  }
}

const websockifies = new Set<ChildProcess>();

async function startWebsockify(ground: Ground): Promise<Target> {
  const port = await freePort();
  // It forks a child for each session; --idle-timeout ends it should nobody be left to do so.
  const web = existsSync(NOVNC) ? [`--web=${NOVNC}`] : [];
  const args = ["--idle-timeout=120", ...web, `--unix-target=${ground.screenPath}`, `127.0.0.1:${port}`];
  const child = spawn(WEBSOCKIFY, args, { detached: true, stdio: "ignore" });
  websockifies.add(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await answering(port);
  const url = `ws://127.0.0.1:${port}/websockify`;
  return {
    name: "websockify",
    url: async () => url,
    page: async () => `http://127.0.0.1:${port}/vnc_lite.html?path=websockify`,
    session: () => async () => url,
    memory: () => ({ websockify: pss(tree(child.pid ?? 0)) }),
    cpuMs: () => cpuMs(tree(child.pid ?? 0)),
    async stop() {
      killGroup(child);
      await ended;
      websockifies.delete(child);
    },
  };
}

export function hasWebsockify(): boolean {
  return existsSync(WEBSOCKIFY);
}

/** Ends, at once, what is left. */
export function killWebsockifies(): void {
  for (const child of websockifies) killGroup(child);
}

/** With its forked sessions, which are in the group that it leads. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group is gone.
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

async function answering(port: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; ; await sleep(50)) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (open) return;
    if (Date.now() > deadline) throw new Error("websockify does not listen");
  }
}
