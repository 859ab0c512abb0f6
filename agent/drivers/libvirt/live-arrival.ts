/**
 * A guest's way in: what is made ready for it, and what answers the source until the guest is here.
 *
 * The source drives the migration through this host's libvirtd, as each of libvirt's peers does. It reaches that only while
 * a guest is to come, and may ask of it what brings that guest (procedure-filter.ts).
 */
import { open, rename } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { MoveLink } from "../../move/moves.ts";
import { type ArrivalOrder, DriverError } from "../driver.ts";
import { awaitedGuest } from "./awaited-guest.ts";
import { checkHardware, lookupOurs, modeOf, type Place } from "./build.ts";
import type { QemuUser } from "./capabilities.ts";
import { makeTarget } from "./disk.ts";
import type { Endpoint } from "./endpoint.ts";
import { CONFIG_DRIVE } from "./guest-folder.ts";
import { joinStreams } from "./joined-streams.ts";
import { checkNames } from "./live-checks.ts";
import { ABOUT, type Arrival, FILE, receiveFile } from "./live-streams.ts";
import { isLeg, type Leg, makeMoveFolder, moveFolder } from "./move-sockets.ts";
import { ProcedureFilter } from "./procedure-filter.ts";
import type { Libvirt } from "./procedures.ts";

type Here = { endpoint: Endpoint; user: QemuUser | null; link: MoveLink };

/**
 * Makes disks for the guest, unless it is to go on with those that it has, and answers the source from now on. What an
 * earlier try left is made anew.
 */
export async function awaitGuest(
  libvirt: Libvirt,
  place: Place,
  { spec, data, block_migration }: ArrivalOrder,
  { endpoint, user, link }: Here,
  signal: AbortSignal,
): Promise<void> {
  checkHardware(place, spec);
  checkNames(data);
  if (await lookupOurs(libvirt, place)) throw new DriverError("MigrationError", "the guest is on this host already");
  const base = await place.image(spec.image);
  if (block_migration) {
    await place.instances.renew(place.uuid, modeOf(place), "MigrationError");
    await makeTargets(place, { spec, data, base }, signal);
  } else if (!(await place.instances.sees(place.uuid, data.probe))) {
    throw new DriverError("MigrationError", "this host does not see the guest's files");
  }
  const sockets = moveFolder(place.uuid, endpoint);
  await makeMoveFolder(sockets, user);
  const arrival: Arrival = { uri: endpoint.uri, sockets, folder: place.folder, base };
  const guest = await awaitedGuest(libvirt, place, { spec, data, block_migration, base, endpoint, sockets });
  const filter = () =>
    new ProcedureFilter(guest).on("error", (error) => {
      place.log("libvirt.call_refused", { server: place.uuid, why: error.message });
    });
  link.onStream((kind, stream) => {
    stream.on("error", () => undefined);
    if (kind === ABOUT) stream.end(`${JSON.stringify(arrival)}\n`);
    else if (kind === FILE + CONFIG_DRIVE && block_migration) void takeFile(stream, join(place.folder, CONFIG_DRIVE));
    else if (isLeg(kind)) void carry(stream, kind, { endpoint, sockets, filter });
    else stream.destroy();
  });
}

async function makeTargets(
  { folder }: Place,
  { spec, data, base }: Pick<ArrivalOrder, "spec" | "data"> & { base: string },
  signal: AbortSignal,
): Promise<void> {
  const { disk_format } = spec.image;
  const below = disk_format === "iso" ? null : { path: base, format: disk_format };
  for (const { name, format, capacity } of data.disks) {
    const path = join(folder, name);
    if (format === "qcow2") await makeTarget(path, { base: below, size: capacity }, signal);
    else await makeRaw(path, capacity);
  }
}

async function makeRaw(path: string, bytes: number): Promise<void> {
  const file = await open(path, "wx", 0o600);
  await file.truncate(bytes).finally(() => file.close());
}

async function takeFile(stream: Duplex, path: string): Promise<void> {
  const part = `${path}.part`;
  try {
    const file = await open(part, "w", 0o600);
    await receiveFile(stream, file).finally(() => file.close());
    await rename(part, path);
    stream.end("ok\n");
  } catch {
    stream.destroy();
  }
}

/** A failure is the source's to tell of: its connection ends. */
async function carry(
  stream: Duplex,
  leg: Leg,
  { endpoint, sockets, filter }: { endpoint: Endpoint; sockets: string; filter(): ProcedureFilter },
): Promise<void> {
  const paths = leg === "libvirt" ? endpoint.sockets : [join(sockets, leg)];
  for (const path of paths) {
    const socket = await connected(path);
    if (socket) return joinStreams(stream, socket, leg === "libvirt" ? filter() : undefined);
  }
  stream.destroy();
}

function connected(path: string): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once("error", () => resolve(null));
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}
