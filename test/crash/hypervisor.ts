/** The hypervisor of a test's host, seen past the agent: what it has, whoever knows of it. */
import { execFileSync } from "node:child_process";
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

const POWER: Record<string, number> = { running: 1, paused: 3, "shut off": 4, crashed: 6 };

/** libvirt's own word, and its folders: `root` is all that a private libvirtd writes to. */
export class LibvirtHypervisor implements Hypervisor {
  readonly flags: readonly string[];
  readonly #uri: string;
  readonly #root: string;

  constructor({ uri, root }: { uri: string; root: string }) {
    this.#uri = uri;
    this.#root = root;
    this.flags = ["--driver", "libvirt", "--connection-uri", uri, "--virt-type", "qemu"];
  }

  guests(): Guest[] {
    return this.#virsh("list", "--all", "--uuid").map((uuid) => ({
      uuid,
      power_state: POWER[this.#virsh("domstate", uuid)[0] ?? ""] ?? 0,
    }));
  }

  leftovers(agentState: string, guests: ReadonlySet<string>): string[] {
    const folders = namesIn(join(agentState, "libvirt/instances")).filter((uuid) => !guests.has(uuid));
    const sockets = readdirSync(this.#root, { recursive: true, encoding: "utf8" }).filter((path) =>
      /vnc\.sock$|_VARS\.fd$|\.save$/.test(path),
    );
    const running = this.guests().filter(({ power_state }) => power_state === 1).length;
    return [...folders, ...(sockets.length > running ? sockets : [])];
  }

  #virsh(...args: string[]): string[] {
    const text = execFileSync("virsh", ["-c", this.#uri, ...args], { encoding: "utf8" });
    return text.split("\n").filter((line) => line !== "");
  }
}
