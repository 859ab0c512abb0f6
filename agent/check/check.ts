/** `edgenova-agent check`: whether this host is ready to run guests for an edge. It changes nothing. */
import { type AgentConfig, loadConfig, parseConfig } from "../config.ts";
import { parseEdge } from "../edge.ts";
import { Failure } from "../failure.ts";
import { checkClock } from "./clock.ts";
import { checkDisk, checkState } from "./disk.ts";
import { type Answer, checkEdge } from "./edge.ts";
import { checkEnrolment } from "./enrolment.ts";
import type { Finding } from "./finding.ts";
import { checkKey } from "./key.ts";
import { checkTools, isThere } from "./tools.ts";

export type CheckOptions = {
  stateDir: string;
  config?: string;
  driver: "libvirt" | "fake";
  /** What the command line says wins over the file. */
  withFlags(config: AgentConfig): AgentConfig;
  /** The edge that a host which is not enrolled yet is to be given to. */
  edge?: string;
};

/** In the order in which a person mends them. Throws `Failure` for an edge that is no URL. */
export async function checkHost(options: CheckOptions): Promise<Finding[]> {
  const { stateDir, driver } = options;
  const given = options.edge === undefined ? undefined : parseEdge(options.edge);
  const { finding: configured, config } = readConfig(options);
  return [
    configured,
    ...(driver === "libvirt" ? [checkTools(), ...(await hypervisor(config, stateDir))] : []),
    await checkState(stateDir),
    await checkDisk(stateDir),
    ...(await edgeSide(stateDir, given)),
  ];
}

function readConfig({ stateDir, config: path, withFlags }: CheckOptions): { finding: Finding; config: AgentConfig } {
  const check = "options";
  try {
    const config = withFlags(loadConfig(stateDir, path));
    return { finding: { check, state: "ok", says: "agent.toml can be read, or is not needed" }, config };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const finding: Finding = { check, state: "failed", says: error.message, mend: "edit that file" };
    return { finding, config: withFlags(parseConfig("")) };
  }
}

/** Loaded only where it is wanted, as the driver is. */
async function hypervisor(config: AgentConfig, stateDir: string): Promise<Finding[]> {
  const { checkLibvirt } = await import("./libvirt.ts");
  return checkLibvirt(config.libvirt, stateDir);
}

async function edgeSide(stateDir: string, given: string | undefined): Promise<Finding[]> {
  const { finding: enrolled, identity } = await checkEnrolment(stateDir);
  const edge = given ?? identity?.edge;
  // A signature is for the edge that this host belongs to, and for no other.
  const own = identity?.edge === edge ? identity : null;
  let reached: Finding = { check: "edge", state: "skipped", says: "no edge is known yet: --edge URL checks one" };
  let answer: Answer | null = null;
  if (edge !== undefined) ({ finding: reached, answer } = await checkEdge(edge, own));
  const clock = checkClock(answer, (["chronyc", "timedatectl"] as const).find((it) => isThere(it)) ?? null);
  return [reached, clock, enrolled, checkKey(own, answer)];
}
