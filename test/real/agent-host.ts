/**
 * A compute host of its own on this machine: a session libvirtd, and the agent on it as a process that can be killed, in
 * a mount namespace as moving-host.ts has it. Started by moving-hosts.ts, which asks it by messages.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, open, readdir, stat, statfs, writeFile } from "node:fs/promises";
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
let instances = join(state, "libvirt/instances");
const names = (listed: string) => listed.split("\n").filter((name) => name !== "");
/** More than any guest of a test has. */
const ROOMY = 8 * 2 ** 30;
let agent: Child | null = null;
/** Whether guests' files are on a file system of their own. */
let hasDisk = false;

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
  /** Where the agent keeps what it must not forget. */
  state: () => state,
  agentLog: () => readFileSync(join(libvirtd.root, "agent.log"), "utf8"),
  domains: async () => names(await libvirtd.virsh("list", "--all", "--name")),
  /** Of those, what runs; a guest that is still to come is paused. */
  running: async () => names(await libvirtd.virsh("list", "--state-running", "--name")),
  virsh: (...args: string[]) => libvirtd.virsh(...args),
  /** Folders of sockets of moves. */
  sockets: async () => (await readdir(tmpdir())).filter((name) => name.startsWith("edgenova-move-")),
  /** Servers that have files here. */
  folders: () => readdir(instances).catch((): string[] => []),
  /** Files of one of them. */
  files: async (server: string) => (await readdir(join(instances, server))).toSorted(),
  /** Guests' files are where its agent.toml says. */
  useInstances: (path: string) => {
    instances = path;
  },
  /** Gives the guests' files a file system of their own, which `limitDisk` makes small. */
  mountDisk: async () => {
    await mkdir(instances, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${ROOMY}`, "tmpfs", instances]);
    hasDisk = true;
  },
  /** Leaves this many bytes of it free; null: as many as there were. */
  limitDisk: async (left: number | null) => {
    const { blocks, bfree, bsize } = await statfs(instances);
    const size = left === null ? ROOMY : (blocks - bfree) * bsize + left;
    execFileSync("mount", ["-o", `remount,size=${size}`, instances]);
  },
  /** Writes so many MiB as a guest does, one that is off. */
  writeDisk: async (server: string, mib: number) => {
    execFileSync("qemu-io", ["-f", "qcow2", "-c", `write -P 7 1M ${mib}M`, join(instances, server, "disk")]);
  },
  /** Whether they are on it still; the guest may run. */
  readsDisk: async (server: string, mib: number) => {
    const said = execFileSync("qemu-io", [
      "-r",
      "-U",
      "-f",
      "qcow2",
      "-c",
      `read -P 7 1M ${mib}M`,
      join(instances, server, "disk"),
    ]);
    return said.includes(`read ${mib * 2 ** 20}/`) && !said.includes("verification failed");
  },
  /** The last so many MiB of its disk, which is aside for a move, are other bytes from now on. */
  spoilDisk: async (server: string, mib: number) => {
    const path = join(instances, `${server}_resize`, "disk");
    const bytes = Buffer.alloc(mib * 2 ** 20, 9);
    const file = await open(path, "r+");
    await file.write(bytes, 0, bytes.length, (await stat(path)).size - bytes.length).finally(() => file.close());
  },
  stop: async () => {
    await agent?.stop();
    if (hasDisk) execFileSync("umount", ["--lazy", instances]);
    await libvirtd.stop();
  },
};
export type AgentHost = typeof asked;

serve(asked);
