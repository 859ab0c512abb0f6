/** A child process of `npm start`, in a process group of its own, with its output in a file. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

/** How long a child may take to stop before it is killed. */
const STOP_TIMEOUT_MS = 8_000;

export type Child = {
  readonly name: string;
  readonly log: string;
  /** Resolves when the process has ended, with its exit code or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  stop(): Promise<void>;
};

/** Starts `command`; its output replaces what the file `log` had. */
export function startChild(name: string, log: string, command: string, args: string[], env: NodeJS.ProcessEnv): Child {
  const file = openSync(log, "w", 0o600);
  const child = spawn(command, args, { detached: true, stdio: ["ignore", file, file], env });
  closeSync(file);
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("error", () => resolve(127));
    child.once("exit", (code, signal) => resolve(code ?? signal ?? 1));
  });
  return { name, log, ended, stop: () => stop(child, ended) };
}

/** The end of a child's output, for a person. */
export function lastLines(log: string, count: number): string {
  return readFileSync(log, "utf8").trimEnd().split("\n").slice(-count).join("\n");
}

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  signal(child, "SIGTERM");
  const timer = setTimeout(() => signal(child, "SIGKILL"), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
  // Grandchildren (workerd below wrangler) are in the group; what is left of it has no parent to end it.
  signal(child, "SIGKILL");
}

/** To the whole group: a wrapper that dies on a signal must not leave its own child behind. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // The group is gone.
  }
}
