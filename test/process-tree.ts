/** The machine's processes, for tests that end some and must leave none. */
import { execFileSync } from "node:child_process";
import { until } from "./edge.ts";

export type Process = { pid: number; parent: number; group: number; command: string };

/** All processes that are not dead (a zombie is). */
export function processes(): Process[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,pgid=,stat=,args="], { encoding: "utf8" }).split("\n");
  return lines.flatMap((line) => {
    const [, pid, parent, group, state, command] = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (command === undefined || state?.startsWith("Z")) return [];
    return [{ pid: Number(pid), parent: Number(parent), group: Number(group), command }];
  });
}

/** The process and all below it. */
export function familyOf(pid: number): Process[] {
  const all = processes();
  const family = all.filter((one) => one.pid === pid);
  for (const member of family) family.push(...all.filter(({ parent }) => parent === member.pid));
  return family;
}

/** This process's own child that has `mark` in its command line, and leads a process group. */
export function childWith(mark: string): number {
  const found = processes().filter((one) => one.parent === process.pid && one.command.includes(mark));
  if (found.length !== 1 || found[0]?.group !== found[0]?.pid) throw new Error(`${found.length} children with ${mark}`);
  return found[0]!.pid;
}

/** To every member of a process group at once; nothing when there is none. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Kills a whole process group and resolves when none of it is left. */
export async function killGroup(group: number): Promise<void> {
  signalGroup(group, "SIGKILL");
  await until(() => !processes().some((one) => one.group === group), `process group ${group} is gone`);
}
