/** The agents on this machine, each enrolled and run as a process of its own. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseConfig } from "../config.ts";
import { loadDriver } from "../drivers/load.ts";
import { enroll } from "../enroll.ts";
import { Failure } from "../failure.ts";
import { readEnrolment, writeEnrolment } from "../identity.ts";
import { type Child, lastLines, startChild } from "./child.ts";
import type { Cloud } from "./cloud.ts";
import { ROOT } from "./edge.ts";
import type { UpOptions } from "./options.ts";

const LINK_TIMEOUT_MS = 30_000;
const POLL_MS = 50;

export function hostNames({ driver, hosts }: UpOptions): string[] {
  if (driver === "libvirt") return [hostname()];
  return Array.from({ length: hosts }, (_, i) => `fake-${i + 1}`);
}

/** Rejects with what to do when this machine's libvirt cannot be used: sooner and plainer than an agent's log tells it. */
export async function checkHypervisor({ driver, connectionUri, virtType }: UpOptions): Promise<void> {
  if (driver !== "libvirt") return;
  const stateDir = mkdtempSync(join(tmpdir(), "edgenova-check-"));
  const defaults = parseConfig("");
  const libvirt = { ...defaults.libvirt, connection_uri: connectionUri, virt_type: virtType };
  const choice = { driver, host: hostname(), config: { ...defaults, libvirt } };
  const context = { stateDir, image: () => Promise.reject(new Error("no images in a check")), log: () => undefined };
  try {
    const hypervisor = await loadDriver(choice, context);
    await hypervisor.init();
    await hypervisor.close();
  } finally {
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** Enrols the host where it is not yet, and starts its agent. The edge's port may have changed since the last start. */
export async function startHost(cloud: Cloud, edge: string, host: string, options: UpOptions): Promise<Child> {
  const stateDir = join(options.state, "agents", host);
  const known = readEnrolment(stateDir);
  if (known === null) await enroll({ edge, host, stateDir, joinToken: await cloud.joinToken(host) });
  else if (known.edge !== edge) writeEnrolment(stateDir, { ...known, edge });
  const { driver, connectionUri, virtType } = options;
  const args = [join(ROOT, "agent/main.ts"), "run", "--state", stateDir, "--driver", driver];
  if (driver === "libvirt") args.push("--connection-uri", connectionUri, "--virt-type", virtType);
  return startChild(host, join(options.state, `agent-${host}.log`), process.execPath, args, process.env);
}

/** Resolves when the agent's log tells that its link is up. */
export async function hostLinked(agent: Child): Promise<void> {
  let end: number | NodeJS.Signals | undefined;
  void agent.ended.then((code) => {
    end = code;
  });
  for (const deadline = Date.now() + LINK_TIMEOUT_MS; ; await sleep(POLL_MS)) {
    if (readFileSync(agent.log, "utf8").includes('"event":"link.up"')) return;
    if (end !== undefined) throw new Failure(`the agent of ${agent.name} ended (${end}):\n${lastLines(agent.log, 4)}`);
    if (Date.now() > deadline) throw new Failure(`the agent of ${agent.name} has no link; its log is ${agent.log}`);
  }
}
