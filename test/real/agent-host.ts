/**
 * A compute host of its own on this machine: a session libvirtd, and the agent on it as a process that can be killed, in
 * a mount namespace as moving-host.ts has it. Started by moving-hosts.ts, which asks it by messages.
 */
import { readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { enroll } from "../../agent/enroll.ts";
import { type Child, startChild } from "../../agent/up/child.ts";
import { ROOT } from "../../agent/up/edge.ts";
import { childWith, killGroup } from "../process-tree.ts";
import { startLibvirtd } from "./libvirtd.ts";
import { serve } from "./served-host.ts";

const libvirtd = await startLibvirtd();
const state = join(libvirtd.root, "agent");
let agent: Child | null = null;

const asked = {
  /** Enrols as `host`, and runs its agent with this agent.toml. */
  join: async (edge: string, joinToken: string, host: string, toml: string) => {
    await enroll({ edge, joinToken, host, stateDir: state });
    await writeFile(join(state, "agent.toml"), toml);
    asked.startAgent();
  },
  startAgent: () => {
    const args = [join(ROOT, "agent/main.ts"), "run", "--state", state, "--driver", "libvirt"];
    args.push("--connection-uri", libvirtd.uri, "--virt-type", "qemu");
    agent = startChild("agent", join(libvirtd.root, "agent.log"), process.execPath, args, process.env);
  },
  killAgent: () => killGroup(childWith(state)),
  /** The last that the agent said of its link; of one that was started anew, nothing of the one before. */
  linkState: () => {
    const lines = readFileSync(join(libvirtd.root, "agent.log"), "utf8").split("\n");
    const events = lines.flatMap((line) => (line.endsWith("}") ? [String(JSON.parse(line).event)] : []));
    return events.findLast((event) => event.startsWith("link.")) ?? null;
  },
  domains: async () => (await libvirtd.virsh("list", "--all", "--name")).split("\n").filter((name) => name !== ""),
  virsh: (...args: string[]) => libvirtd.virsh(...args),
  /** Folders of sockets of moves. */
  sockets: async () => (await readdir(tmpdir())).filter((name) => name.startsWith("edgenova-move-")),
  /** Servers that have files here. */
  folders: () => readdir(join(state, "libvirt/instances")).catch(() => []),
  stop: async () => {
    await agent?.stop();
    await libvirtd.stop();
  },
};
export type AgentHost = typeof asked;

serve(asked);
