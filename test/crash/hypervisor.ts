/** The hypervisor of a test's host, seen past the agent: what it has, whoever knows of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export type Guest = { uuid: string; power_state: number };

export interface Hypervisor {
  /** The agent's flags. */
  readonly flags: readonly string[];
  guests(agentState: string): Guest[];
  /** What is left on the host of servers that are not among `guests`: paths, or whatever names the thing. */
  leftovers(agentState: string, guests: ReadonlySet<string>): string[];
}

/** The fake driver's own file and folders. */
export class FakeHypervisor implements Hypervisor {
  readonly flags: readonly string[];

  constructor(memoryMb: number) {
    this.flags = ["--driver", "fake", "--fake-memory-mb", String(memoryMb)];
  }

  guests(agentState: string): Guest[] {
    try {
      return JSON.parse(readFileSync(join(agentState, "fake/guests.json"), "utf8")).guests;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  leftovers(agentState: string, guests: ReadonlySet<string>): string[] {
    const own = namesIn(join(agentState, "fake")).filter((name) => !["guests.json", "config-drives"].includes(name));
    const drives = namesIn(join(agentState, "fake/config-drives"));
    return [...own, ...drives.map((name) => `config-drives/${name}`)].filter(
      (path) => !guests.has(path.replace(/^config-drives\//, "")),
    );
  }
}

/** Empty when there is no such folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
