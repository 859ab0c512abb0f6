/** Where libvirt's socket is, and the session's libvirtd started when nobody did. */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DriverError } from "../driver.ts";

export const INSTALL = "apt-get install libvirt-daemon-system qemu-system-x86 qemu-utils genisoimage";
/** libvirt's own client gives a session daemon it starts this idle time. */
const SESSION_IDLE_SECONDS = 120;
const SESSION_DAEMONS = ["/usr/sbin/libvirtd", "/usr/sbin/virtqemud", "/usr/local/sbin/libvirtd"];

/** libvirt's drivers that a connection_uri may name, the names they have of connections, and their own daemon's socket. */
const DRIVERS = {
  qemu: { names: ["system", "session"], socket: "virtqemud-sock" },
  xen: { names: ["system"], socket: "virtxend-sock" },
  lxc: { names: ["system", ""], socket: "virtlxcd-sock" },
  /** libvirt's mock, which any of its daemons has. */
  test: { names: ["default"], socket: "virtqemud-sock" },
} as const;
export type DriverName = keyof typeof DRIVERS;

/** `uri` is what CONNECT_OPEN is told; `sockets` are tried in order. */
export type Endpoint = { uri: string; driver: DriverName; session: boolean; sockets: string[]; startsDaemon: boolean };

/**
 * Reads a connection_uri: `qemu:///system`, `qemu:///session`, `xen:///system`, `lxc:///system`, `test:///default`, each
 * with `?socket=/path`. The socket folders are libvirt's own (https://libvirt.org/uri.html, virGetUserRuntimeDirectory).
 */
export function parseConnectionUri(uri: string, env: NodeJS.ProcessEnv = process.env): Endpoint {
  const match = /^(qemu|xen|lxc|test)(?:\+unix)?:\/\/\/(\w*)(?:\?socket=([^&]+))?$/.exec(uri);
  const [, driver = "", connection = "", path] = match ?? [];
  if (!isDriver(driver) || !(DRIVERS[driver].names as readonly string[]).includes(connection)) {
    throw new DriverError(
      "HypervisorUnavailable",
      "connection_uri must be qemu:///system, qemu:///session, xen:///system, lxc:///system or test:///default, with ?socket=PATH at most; other hosts need an agent of their own",
    );
  }
  const session = connection === "session";
  const known = { uri: `${driver}:///${connection}`, driver, session };
  if (path !== undefined) return { ...known, sockets: [decodeURIComponent(path)], startsDaemon: false };
  const cache = env.XDG_CACHE_HOME || join(env.HOME ?? homedir(), ".cache");
  const folder = session ? join(env.XDG_RUNTIME_DIR || cache, "libvirt") : "/var/run/libvirt";
  // The modular daemons' own socket comes second: a monolithic libvirtd that is stopped may leave a live virtlogd only.
  const sockets = [join(folder, "libvirt-sock"), join(folder, DRIVERS[driver].socket)];
  return { ...known, sockets, startsDaemon: session };
}

const isDriver = (name: string): name is DriverName => Object.hasOwn(DRIVERS, name);

/** Starts the user's own libvirtd, as libvirt's client does for qemu:///session; resolves when its socket is there. */
export async function startSessionDaemon(): Promise<void> {
  for (const program of SESSION_DAEMONS) {
    const usable = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!usable) continue;
    const args = ["-d", "-t", String(SESSION_IDLE_SECONDS)];
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn(program, args, { cwd: "/", stdio: "ignore" });
      child.once("error", reject);
      child.once("exit", resolve);
    });
    // With -d the first process ends when the daemon listens. A failure may be a lost race against another start.
    if (code === 0) return;
  }
}

/** Why no socket could be connected, as advice to who runs the agent. */
export function dialAdvice(endpoint: Endpoint, error: unknown): DriverError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const advice =
    code === "EACCES" || code === "EPERM"
      ? "this user may not use libvirt: run the agent as root, or use qemu:///session"
      : endpoint.startsDaemon
        ? `libvirt is not there; install it: ${INSTALL}`
        : `libvirt does not run; start it (systemctl start libvirtd) or install it: ${INSTALL}`;
  return new DriverError("HypervisorUnavailable", advice, { cause: error });
}

/** libvirt is there, and has not what the connection_uri names. */
export function driverAdvice({ driver, uri }: Endpoint, error: unknown): DriverError {
  const advice = `this libvirt does not know ${uri}; install libvirt-daemon-driver-${driver}`;
  return new DriverError("HypervisorUnavailable", advice, { cause: error });
}
