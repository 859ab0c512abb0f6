/**
 * Under qemu:///system QEMU runs as a user of its own (Debian: libvirt-qemu), and must reach the agent's files.
 *
 * - libvirt gives a guest's own disk to that user and takes it back (dynamic_ownership). Folders on the way need x.
 * - A base is shared by guests and must stay what was verified. libvirt would hand it to QEMU's user too, and then a
 *   guest that broke out of QEMU could write to it; so the domain says relabel='no', and we let QEMU's group read it.
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, chmod, chown, mkdir, stat } from "node:fs/promises";
import { networkReason } from "../../failure.ts";
import { DriverError } from "../driver.ts";
import type { QemuUser } from "./capabilities.ts";

const OTHERS_READ = 0o004;

/** Whether `test -<flag> <path>` holds for QEMU's user: only the kernel knows its groups and the folders' ACLs. */
function holds(user: QemuUser, flag: "r" | "w" | "x", path: string): Promise<boolean> {
  const args = ["--reuid", String(user.uid), "--regid", String(user.gid), "--init-groups", "test", `-${flag}`, path];
  return new Promise((resolve) => {
    execFile("setpriv", args, (error) => resolve(error === null));
  });
}

/** The folder of all guests' folders, in the driver's own unless instances_path says another. */
export const INSTANCES = "instances";
/** QEMU's user passes our folders and lists none of them. */
export const PASSABLE = 0o711;
export const PRIVATE = 0o700;

/** Makes the folder of all guests. `user` null is a QEMU that runs as we do. Rejects with HypervisorUnavailable. */
export async function prepareFolders(stateDir: string, instances: string, user: QemuUser | null): Promise<void> {
  await mkdir(instances, { recursive: true, mode: PRIVATE }).catch((cause: unknown) => {
    const why = `the folder of guests (instances_path) cannot be made: ${networkReason(cause)}`;
    throw new DriverError("HypervisorUnavailable", why, { cause });
  });
  if (!user) return;
  if (process.geteuid?.() !== 0) {
    throw new DriverError(
      "HypervisorUnavailable",
      "this libvirt runs QEMU as another user, whose VNC sockets only root can open: run the agent as root, or use qemu:///session",
    );
  }
  await chmod(stateDir, PASSABLE);
  // Another host's, or an operator's, may be open to more.
  if (!(await passable(instances, user))) await chmod(instances, PASSABLE);
  await checkWay(instances, user);
}

/** Whether QEMU's user may enter a folder, and those above it. */
export function passable(folder: string, user: QemuUser): Promise<boolean> {
  return holds(user, "x", folder);
}

/** Rejects with HypervisorUnavailable when QEMU's user cannot pass a folder or one above it. */
async function checkWay(folder: string, user: QemuUser): Promise<void> {
  if (!(await passable(folder, user))) throw unreachable(folder);
}

function unreachable(path: string): DriverError {
  return new DriverError(
    "HypervisorUnavailable",
    "QEMU's user cannot reach the agent's files: give the state folder and those above it mode 0711, or use another",
    { cause: new Error(`out of reach: ${path}`) },
  );
}

/** Lets QEMU's group read a base, and nobody write it; rejects when QEMU's user cannot get there all the same. */
export async function shareBase(path: string, user: QemuUser): Promise<void> {
  const { mode, gid } = await stat(path);
  if ((mode & OTHERS_READ) === 0) {
    if (gid !== user.gid) await chown(path, -1, user.gid);
    await chmod(path, 0o440);
  }
  if (!(await holds(user, "r", path))) throw unreachable(path);
}

/** Whether QEMU can use KVM; libvirt's capabilities list it also where only root may open the device. */
export function kvmUsable(user: QemuUser | null): Promise<boolean> {
  if (user) return holds(user, "w", "/dev/kvm");
  return access("/dev/kvm", constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}
