/**
 * The sockets by which a guest's live migration goes through us. libvirt gives both hosts the same paths: at the source
 * we listen there in place of the destination; at the destination QEMU does.
 *
 *   source: libvirtd, QEMU --> our sockets ==MoveLink==> destination: libvirtd's own socket, QEMU's sockets
 *
 * So the folder has the same path on every host: of root in /run, of other users in their temporary folder, which has to
 * be the same on the hosts that guests go between.
 */
import { chmod, chown, lstat, mkdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DriverError } from "../driver.ts";
import type { QemuUser } from "./capabilities.ts";

/** What a stream of a MoveLink is for, and the name of its socket: libvirt's own calls, the memory, and the disks. */
export const LEGS = ["libvirt", "memory", "disks"] as const;
export type Leg = (typeof LEGS)[number];
export const isLeg = (kind: string): kind is Leg => (LEGS as readonly string[]).includes(kind);

export function moveFolder(uuid: string, { session }: { session: boolean }): string {
  return join(session ? tmpdir() : "/run", `edgenova-move-${uuid}`);
}

/** What libvirt is told of where QEMU listens. */
export const memoryUri = (folder: string) => `unix://${folder}/memory`;
export const disksUri = (folder: string) => `unix://${folder}/disks`;

/** Makes the folder, which only we and QEMU's user can enter. */
export async function makeMoveFolder(folder: string, user: QemuUser | null): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  const owners = [process.getuid?.(), ...(user ? [user.uid] : [])];
  // In a folder for everyone's files somebody else may have made it first, to be given the guest's memory.
  if (!found.isDirectory() || !owners.includes(found.uid)) {
    throw new DriverError("MigrationError", "the folder of the migration's sockets is somebody else's");
  }
  await chmod(folder, 0o700);
  if (user) await chown(folder, user.uid, user.gid);
}

export async function removeMoveFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Listens for libvirtd and QEMU in place of the other host. Resolves with the way to end it, connections with it. */
export async function listenForLegs(
  folder: string,
  user: QemuUser | null,
  connected: (leg: Leg, socket: Socket) => void,
): Promise<() => void> {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const close = () => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  };
  try {
    for (const leg of LEGS) {
      const path = join(folder, leg);
      await rm(path, { force: true });
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        connected(leg, socket);
      });
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(path, resolve);
      });
      if (user) await chown(path, user.uid, user.gid);
    }
    return close;
  } catch (error) {
    close();
    throw error;
  }
}
