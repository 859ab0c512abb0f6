/** Starts hosts that guests can move between: see moving-host.ts and agent-host.ts. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LinkLimits, MovingHost } from "./moving-host.ts";
import type { Asked } from "./served-host.ts";

const DRIVER_ONLY = "moving-host.ts";
/** The same path on every host, and in each a folder of its own. */
const TEMPORARY = "/tmp/en-move";

type Answer = { id: number; value?: unknown; error?: { code: string; cause: string; message: string } };
/** Its functions are those of its program; they reject with an Error that has the DriverError's code. */
export type Served<A extends Asked> = {
  [K in keyof A]: (...args: Parameters<A[K]>) => Promise<Awaited<ReturnType<A[K]>>>;
};
export type Host = Served<MovingHost>;

export class MovingHosts {
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** `within`: where the folder of its sockets is made. */
  static async open(within = "/tmp"): Promise<MovingHosts> {
    return new MovingHosts(await mkdtemp(join(within, "en-hosts-")));
  }

  /** A link between the two, anew; what was open between them ends. */
  async link(source: Host, destination: Host, limits: LinkLimits = {}): Promise<void> {
    const [a, b] = [join(this.#folder, "source"), join(this.#folder, "destination")];
    await destination.openLink(b, a);
    await source.openLink(a, b, limits);
  }

  /** A folder that all of them see. */
  get shared(): string {
    return join(this.#folder, "instances");
  }

  /** A host of this name, which runs that program of this folder. */
  async start<A extends Asked = MovingHost>(name: string, program = DRIVER_ONLY, more = {}): Promise<Served<A>> {
    const own = process.geteuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const script = `mkdir -p ${TEMPORARY} && mount -t tmpfs tmpfs ${TEMPORARY} && hostname ${name} && exec "$0" "$@"`;
    const command = ["--mount", "--uts", "sh", "-c", script, process.execPath];
    command.push(fileURLToPath(new URL(program, import.meta.url)));
    const child = spawn("unshare", [...own, ...command], {
      env: { ...process.env, TMPDIR: TEMPORARY, ...more },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#children.push(child);
    const waiting = new Map<number, (answer: Answer) => void>();
    child.on("message", (answer: Answer) => waiting.get(answer.id)?.(answer));
    child.once("exit", () => {
      const message = `the host ${name} ended`;
      for (const [id, settle] of waiting) settle({ id, error: { code: "", cause: "", message } });
    });
    let last = 0;
    const ask = (asked: string, args: unknown[]) => {
      const id = ++last;
      return new Promise((resolve, reject) => {
        waiting.set(id, ({ value, error }) => {
          waiting.delete(id);
          if (error === undefined) resolve(value);
          else reject(Object.assign(new Error(`${error.message} (${error.cause})`), { code: error.code }));
        });
        child.send({ id, name: asked, args });
      });
    };
    const ready = new Promise<void>((resolve, reject) => {
      waiting.set(0, ({ error }) => (error ? reject(new Error(error.message)) : resolve()));
    });
    await ready;
    return new Proxy({} as Served<A>, {
      // A promise would be looked at for `then`.
      get: (_, name) => (name === "then" ? undefined : (...args: unknown[]) => ask(String(name), args)),
    });
  }

  async stop(hosts: readonly { stop(): Promise<void> }[]): Promise<void> {
    for (const host of hosts) await host.stop();
    for (const child of this.#children) {
      if (child.exitCode === null) await once(child, "exit");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
