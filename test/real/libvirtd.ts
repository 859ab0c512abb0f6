/**
 * A libvirtd for one test: its own socket, folders and QEMUs, no TCP, ended by process id.
 *
 * `session` is what qemu:///session of any user is. libvirtd takes its kind from its effective uid, so when the tests
 * run as root it gets a user namespace where root is called 1000; files it makes belong to root all the same.
 * `system` is for root alone: QEMU runs as Debian's libvirt-qemu, and its state is the machine's (/var/lib/libvirt),
 * so one that already runs is used, and left running.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { parseConfig } from "../../agent/config.ts";

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;
const run = promisify(execFile);

export const LIBVIRT_NEEDS = {
  paths: [
    ...["/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/qemu-img", "/usr/bin/qemu-system-x86_64"],
    "/usr/bin/genisoimage",
  ],
  apt: "libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils genisoimage",
};
export const GRUB_ISO = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso";

/** The driver's options, for guests that need no KVM. */
export const LIBVIRT = parseConfig("[libvirt]\nvirt_type = 'qemu'").libvirt;

export type PrivateLibvirtd = {
  uri: string;
  socket: string;
  /** A temporary folder, removed by `stop`. QEMU's user may pass it. */
  root: string;
  virsh(...args: string[]): Promise<string>;
  /** Ends libvirtd and leaves its QEMUs running. */
  halt(): Promise<void>;
  start(): Promise<void>;
  /** Destroys all that was made through it, and ends it. */
  stop(): Promise<void>;
};

function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path: socket }, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

export async function launch(command: string[], socket: string, env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said = (said + chunk).slice(-4_000);
  });
  const until = Date.now() + START_TIMEOUT_MS;
  while (!(await listens(socket))) {
    if (child.exitCode !== null || Date.now() > until) {
      await end(child);
      throw new Error(`${program} did not start: ${said}`);
    }
    await sleep(50);
  }
  return child;
}

export async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exit;
  clearTimeout(late);
}

/** Ends QEMUs that libvirt did not; their ids are in libvirt's own pid files. */
export async function endGuests(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(".pid") || name === "driver.pid") continue;
    const pid = Number(await readFile(join(folder, name), "utf8"));
    if (pid > 1) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
  }
}

export async function startLibvirtd(kind: "session" | "system" = "session"): Promise<PrivateLibvirtd> {
  // Short on purpose: libvirt puts unix sockets, of 107 bytes at most, some folders below.
  const root = await mkdtemp("/tmp/en-");
  return kind === "session" ? session(root) : system(root);
}

async function session(root: string): Promise<PrivateLibvirtd> {
  const folder = (name: string) => join(root, name);
  const env = {
    PATH: process.env.PATH,
    HOME: root,
    XDG_RUNTIME_DIR: folder("run"),
    XDG_CONFIG_HOME: folder("config"),
    XDG_CACHE_HOME: folder("cache"),
    XDG_DATA_HOME: folder("data"),
  };
  for (const name of ["run", "config/libvirt", "cache", "data"]) await mkdir(folder(name), { recursive: true });
  // With virtlogd, libvirt would start one more daemon that outlives the test.
  await writeFile(folder("config/libvirt/qemu.conf"), 'stdio_handler = "file"\n');
  // libvirt knows hosts by the machine's uuid, and there are several on this machine.
  await writeFile(folder("config/libvirt/libvirtd.conf"), `host_uuid = "${randomUUID()}"\n`);
  const asUser = process.geteuid?.() === 0 ? ["unshare", "--user", "--map-user=1000", "--map-group=1000"] : [];
  const socket = folder("run/libvirt/libvirt-sock");
  const uri = `qemu:///session?socket=${socket}`;
  const command = [...asUser, "/usr/sbin/libvirtd"];
  let child: ChildProcess | undefined = await launch(command, socket, env);
  const virsh = async (...args: string[]) => (await run("virsh", ["-c", uri, ...args], { env })).stdout;
  const halt = async () => {
    await end(child);
    child = undefined;
  };
  return {
    uri,
    socket,
    root,
    virsh,
    halt,
    async start() {
      child ??= await launch(command, socket, env);
    },
    async stop() {
      await halt();
      await endGuests(folder("run/libvirt/qemu/run"));
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function system(root: string): Promise<PrivateLibvirtd> {
  await run("chmod", ["0711", root]);
  const daemons: ChildProcess[] = [];
  const standard = "/var/run/libvirt/libvirt-sock";
  const running = await listens(standard);
  const socket = running ? standard : join(root, "libvirt-sock");
  const uri = `qemu:///system?socket=${socket}`;
  if (!running) {
    const file = async (name: string, text: string) => {
      await writeFile(join(root, name), text, { mode: 0o600 });
      return join(root, name);
    };
    const config = await file("libvirtd.conf", `unix_sock_dir = "${root}"\nauth_unix_rw = "none"\n`);
    // No virtlogd, and no /dev of QEMU's own, which could not be laid over the /dev/kvm below.
    const qemu = await file("qemu.conf", 'stdio_handler = "file"\nnamespaces = []\n');
    let script = `mount --bind ${qemu} /etc/libvirt/qemu.conf`;
    // Where root alone may open /dev/kvm, libvirt 9 probes QEMU anew in every call (100 s for one guest): hide it.
    if (existsSync("/dev/kvm")) script += ` && mount --bind ${await file("no-kvm", "")} /dev/kvm`;
    script += ` && exec /usr/sbin/libvirtd -f ${config} -p ${join(root, "libvirtd.pid")}`;
    daemons.push(await launch(["unshare", "--mount", "sh", "-c", script], socket, process.env));
  }
  const shared = async () => {
    throw new Error("a system libvirtd is not restarted by a test");
  };
  const virsh = async (...args: string[]) => (await run("virsh", ["-c", uri, ...args])).stdout;
  return {
    uri,
    socket,
    root,
    virsh,
    halt: shared,
    start: shared,
    async stop() {
      for (const name of (await virsh("list", "--all", "--name")).split("\n").filter((it) => it !== "")) {
        if (!(await virsh("dumpxml", name)).includes(root)) continue;
        await virsh("destroy", name).catch(() => {});
        await virsh("undefine", name);
      }
      for (const daemon of daemons) await end(daemon);
      if (existsSync(root)) await rm(root, { recursive: true, force: true });
    },
  };
}
