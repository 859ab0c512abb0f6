/**
 * A libvirtd of the kind that production has, for root alone: QEMU runs as Debian's libvirt-qemu, and files are given to
 * it. Unlike the one of libvirtd.ts it shares nothing with the machine's: it is for a mount namespace of its own
 * (moving-hosts.ts), where it has the machine's folders to itself.
 */
import type { ChildProcess } from "node:child_process";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { end, endGuests, launch, type PrivateLibvirtd } from "./libvirtd.ts";

const run = promisify(execFile);
/** Of the host alone; the last so that guests of two hosts do not meet in a group. */
const FOLDERS = [
  "/run",
  "/etc/libvirt",
  "/var/lib/libvirt",
  "/var/cache/libvirt",
  "/var/log/libvirt",
  "/sys/fs/cgroup",
];
const SOCKET = "/run/libvirt/libvirt-sock";
const URI = `qemu:///system?socket=${SOCKET}`;

/** What QEMU has of /dev. */
const DEVICES = ["full", "null", "ptmx", "random", "tty", "urandom", "zero"].map((name) => `/dev/${name}`);

/** See libvirtd.ts; root may open whatever else is in its place. */
async function hideKvm(): Promise<void> {
  const dev = await mkdtemp("/tmp/en-dev-");
  await run("mount", ["-t", "tmpfs", "-o", "mode=0755", "tmpfs", dev]);
  await run("cp", ["-a", ...DEVICES, dev]);
  for (const folder of ["pts", "shm"]) {
    await mkdir(join(dev, folder));
    await run("mount", ["--bind", `/dev/${folder}`, join(dev, folder)]);
  }
  await run("mount", ["--move", dev, "/dev"]);
  await rmdir(dev);
}

/** `privileged`: QEMU is root, with all that root may: what userfaultfd takes where the machine lets no one else have it. */
export type SystemKind = "system" | "privileged";

export async function startOwnSystemLibvirtd(kind: SystemKind): Promise<PrivateLibvirtd> {
  const root = await mkdtemp("/tmp/en-");
  await chmod(root, 0o711);
  for (const folder of FOLDERS) await run("mount", ["-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder]);
  // No virtlogd, and no /dev of QEMU's own: see libvirtd.ts.
  const lines = ['stdio_handler = "file"', "namespaces = []", "cgroup_controllers = []"];
  if (kind === "privileged") lines.push('user = "root"', 'group = "root"', "clear_emulator_capabilities = 0");
  await writeFile("/etc/libvirt/qemu.conf", `${lines.join("\n")}\n`);
  await writeFile("/etc/libvirt/libvirtd.conf", `auth_unix_rw = "none"\nhost_uuid = "${randomUUID()}"\n`);
  await hideKvm();
  const command = ["/usr/sbin/libvirtd"];
  let child: ChildProcess | undefined = await launch(command, SOCKET, process.env);
  const halt = async () => {
    await end(child);
    child = undefined;
  };
  return {
    uri: URI,
    socket: SOCKET,
    root,
    virsh: async (...args: string[]) => (await run("virsh", ["-c", URI, ...args])).stdout,
    halt,
    async start() {
      child ??= await launch(command, SOCKET, process.env);
    },
    async stop() {
      await halt();
      await endGuests("/run/libvirt/qemu");
      await rm(root, { recursive: true, force: true });
    },
  };
}
