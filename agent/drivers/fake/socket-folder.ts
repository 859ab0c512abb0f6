/** Where the socket of a guest lives: a folder that only this user can enter. */
import { createHash } from "node:crypto";
import { lstat, mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** sun_path of unix(7) holds 108 bytes, one of which ends it. */
const MAX_SOCKET_PATH_BYTES = 107;

/** `<stateDir>/<uuid>/vnc.sock`, or a path under the system's temporary folder when that is too long for a socket. */
export function socketPath(stateDir: string, uuid: string): string {
  const path = join(stateDir, uuid, "vnc.sock");
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  const digest = createHash("sha256").update(path).digest("hex").slice(0, 32);
  return join(tmpdir(), `edgenova-${digest}`, "vnc.sock");
}

/** Makes the folder of a socket and removes the socket that a killed agent left there. */
export async function prepareSocket(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Under the temporary folder someone else may have made it first, to be given the guest's screen.
  const found = await lstat(folder);
  const ours = found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0;
  if (!ours) throw new Error(`${folder} is open to other users`);
  await rm(path, { force: true });
}

/** Removes the socket and its folder. */
export async function removeSocket(path: string): Promise<void> {
  await rm(dirname(path), { recursive: true, force: true });
}
