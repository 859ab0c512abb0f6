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

/** `uri` is what CONNECT_OPEN is told; `sockets` are tried in order. */
export type Endpoint = { uri: string; sockets: string[]; startsDaemon: boolean };

/**
 * Reads a connection_uri: `qemu:///system`, `qemu:///session`, either with `?socket=/path`.
 * The socket folders are libvirt's own (https://libvirt.org/uri.html, virGetUserRuntimeDirectory).
 */
export function parseConnectionUri(uri: string, env: NodeJS.ProcessEnv = process.env): Endpoint {
  const match = /^qemu(?:\+unix)?:\/\/\/(system|session)(?:\?socket=([^&]+))?$/.exec(uri);
  if (!match) {
    throw new DriverError(
      "HypervisorUnavailable",
      "connection_uri must be qemu:///system or qemu:///session, with ?socket=PATH at most; other hosts need an agent of their own",
    );
  }
  const name = `qemu:///${match[1]}`;
  if (match[2] !== undefined) return { uri: name, sockets: [decodeURIComponent(match[2])], startsDaemon: false };
  const session = match[1] === "session";
  const cache = env.XDG_CACHE_HOME || join(env.HOME ?? homedir(), ".cache");
  const folder = session ? join(env.XDG_RUNTIME_DIR || cache, "libvirt") : "/var/run/libvirt";
  // The modular daemons' own socket comes second: a monolithic libvirtd that is stopped may leave a live virtlogd only.
  const sockets = [join(folder, "libvirt-sock"), join(folder, "virtqemud-sock")];
  return { uri: name, sockets, startsDaemon: session };
}

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
