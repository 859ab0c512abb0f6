/**
 * The processes of a bench. Each runs one of the `*-process.ts` files and ends when its IPC channel does, so none of
 * them outlives the bench, however that ends.
 */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;

/** A child that is ready; `ready` is what it told then. */
export type Child<Ready> = {
  pid: number;
  ready: Ready;
  ask(question: string): Promise<unknown>;
  stop(): Promise<void>;
};

const running = new Set<ChildProcess>();

/** Starts `test/bench/<name>.ts` with `options`; its output goes to our stderr when `verbose`, and nowhere else. */
export async function startChild<Ready>(name: string, options: object, verbose = false): Promise<Child<Ready>> {
  const child = fork(join(import.meta.dirname, `${name}.ts`), [JSON.stringify(options)], {
    stdio: ["ignore", "ignore", verbose ? "inherit" : "pipe", "ipc"],
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  let lastWords = "";
  child.stderr?.on("data", (chunk) => {
    lastWords = `${lastWords}${chunk}`.slice(-2000);
  });
  const ready = await first<Ready>(child, "ready", START_TIMEOUT_MS).catch((error: Error) => {
    child.kill("SIGKILL");
    throw new Error(`${name}: ${error.message}\n${lastWords}`);
  });
  return {
    pid: child.pid ?? 0,
    ready,
    ask(question) {
      const answer = first<unknown>(child, question, START_TIMEOUT_MS);
      child.send(question);
      return answer;
    },
    stop: () => stop(child),
  };
}

/** The child's side: tells that it is ready, answers what it is asked, and ends with its parent. */
export function serveParent(
  ready: object,
  handlers: { stop?: () => Promise<void>; answers?: Record<string, () => unknown> } = {},
): void {
  // Ctrl-C reaches the whole group; the parent decides when each part stops.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
  process.on("message", (question) => {
    const name = String(question);
    process.send?.({ [name]: handlers.answers?.[name]?.() ?? null });
  });
  const end = async () => {
    await handlers.stop?.();
    process.exit(0);
  };
  process.once("disconnect", () => void end());
  if (process.connected) process.send?.({ ready });
  else void end(); // the parent left while this started
}

/** The options that the parent gave. */
export function childOptions<Options>(): Options {
  return JSON.parse(process.argv[2] ?? "{}") as Options;
}

/** Ends what is left, by each one's own way of stopping: a killed edge would leave its workerd behind. */
export async function stopChildren(): Promise<void> {
  await Promise.all([...running].map(stop));
}

/** The first message that has `key`. */
function first<T>(child: ChildProcess, key: string, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(() => reject(new Error(`no "${key}" in ${timeoutMs} ms`))), timeoutMs);
    const onMessage = (message: unknown) => {
      if (message === null || typeof message !== "object" || !(key in message)) return;
      done(() => resolve((message as Record<string, T>)[key] as T));
    };
    const onExit = (code: number | null, signal: string | null) =>
      done(() => reject(new Error(`it ended (${code ?? signal})`)));
    const done = (settle: () => void) => {
      clearTimeout(timer);
      child.off("message", onMessage);
      child.off("exit", onExit);
      settle();
    };
    child.on("message", onMessage);
    child.once("exit", onExit);
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}
