/**
 * One of several hypervisors on this machine, as a process of its own: a libvirtd (LIBVIRTD: `session`, or a SystemKind) and
 * the libvirt driver on it, in a mount namespace where the temporary folder is theirs alone, as it is on a host of its own.
 * Started by moving-hosts.ts, which asks it by messages.
 */

import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { ArrivalOrder, ArrivalQuestion, Driver, LiveProgress } from "../../agent/drivers/driver.ts";
import { joinStreams } from "../../agent/drivers/libvirt/joined-streams.ts";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { Bandwidth } from "../../agent/move/bandwidth.ts";
import { copyDisks } from "../../agent/move/copy-disks.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import type { LiveMigrationOptions } from "../../functions/protocol/move.ts";
import { type Cut, LocalMoveLink } from "../local-move-link.ts";
import { LIBVIRT, startLibvirtd } from "./libvirtd.ts";
import { type SystemKind, startOwnSystemLibvirtd } from "./own-system-libvirtd.ts";
import { serve } from "./served-host.ts";

export type LinkLimits = { cut?: Cut | undefined; bytesPerSecond?: number };

class CountedBandwidth extends Bandwidth {
  granted = 0;

  override take(bytes: number): number {
    this.granted += bytes;
    return super.take(bytes);
  }
}

const { LIBVIRTD: kind = "session" } = process.env;
const libvirtd = await (kind === "session" ? startLibvirtd() : startOwnSystemLibvirtd(kind as SystemKind));
const stateDir = join(libvirtd.root, "state");
const base = join(libvirtd.root, "base");
await mkdir(stateDir);
const logs: Record<string, unknown>[] = [];
const ctx = {
  stateDir,
  image: async () => base,
  log: (event: string, fields?: Record<string, unknown>) => void logs.push({ event, ...fields }),
};
const told: unknown[] = [];
async function open(): Promise<LibvirtDriver> {
  const instancesPath = process.env.INSTANCES_PATH ?? "";
  const opened = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri: libvirtd.uri }, { instancesPath });
  await opened.init();
  opened.onLifecycle((guest) => told.push(guest));
  return opened;
}
let driver = await open();

const goOn = new AbortController().signal;
let link: LocalMoveLink | undefined;
let bandwidth = new CountedBandwidth(0);
const progress: LiveProgress[] = [];
let switched = false;

const asked = {
  root: () => libvirtd.root,
  told: () => told.splice(0),
  logs: () => logs.splice(0),
  progress: () => progress,
  /** Whether its guest was said to stand still here, to go on at the other end. */
  switched: () => switched,
  setBase: (base64: string) => writeFile(base, Buffer.from(base64, "base64")),
  virsh: (...args: string[]) => libvirtd.virsh(...args),
  /** As when the agent is restarted: its sockets and streams end with it. */
  reopen: async () => {
    link?.close();
    await driver.close();
    driver = await open();
  },
  /** `user:group mode` of a file. */
  ownerOf: async (path: string) => {
    const { uid, gid, mode } = await stat(path);
    return `${uid}:${gid} ${(mode & 0o777).toString(8)}`;
  },
  files: (path: string) => (existsSync(path) ? readdir(path) : null),
  call: async (name: keyof Driver, ...args: unknown[]) => {
    const method = driver[name] as unknown as (...given: unknown[]) => Promise<unknown>;
    const value = await method.apply(driver, ["spawn", "rescue", "rebuild"].includes(name) ? [...args, goOn] : args);
    return Buffer.isBuffer(value) ? value.toString() : value;
  },
  migrateDiskAndPowerOff: (uuid: string, migration: string) => driver.moving.migrateDiskAndPowerOff(uuid, migration),
  snapshot: (uuid: string, path: string) => driver.snapshot(uuid, path, goOn),
  disksOf: (uuid: string, migration: string) => driver.moving.disksOf(uuid, migration),
  prepareDisks: async (uuid: string, spec: GuestSpec, names: string[]) => {
    const pathOf = await driver.moving.prepareDisks(uuid, spec, goOn);
    return names.map(pathOf);
  },
  /** As the agent does where it finds a guest's disks aside on its own host; `cut`: it is killed in the middle. */
  copyAside: async (uuid: string, migration: string, spec: GuestSpec, cut: boolean) => {
    const pathOf = await driver.moving.prepareDisks(uuid, spec, goOn);
    const disks = (await driver.moving.disksOf(uuid, migration)) ?? [];
    if (cut) await writeFile(`${pathOf("disk")}.part`, "half");
    else await copyDisks(disks, pathOf, goOn);
  },
  finishMigration: (uuid: string, spec: GuestSpec, start: boolean, from?: string) =>
    driver.moving.finishMigration(uuid, { spec, start, from }),
  instanceOnDisk: (uuid: string, host: string) => driver.moving.instanceOnDisk(uuid, host),
  finishRevertMigration: (uuid: string) => driver.moving.finishRevertMigration(uuid),
  confirmMigration: (uuid: string) => driver.moving.confirmMigration(uuid),
  checkSource: (uuid: string) => driver.moving.checkSource(uuid),
  checkDestination: (uuid: string, asked: ArrivalQuestion) => driver.moving.checkDestination(uuid, asked),
  /** `bytesPerSecond`: of what leaves this host. */
  openLink: async (listen: string, peer: string, { cut, bytesPerSecond = 0 }: LinkLimits = {}) => {
    link?.close();
    bandwidth = new CountedBandwidth(bytesPerSecond);
    link = new LocalMoveLink({ peer, cut, bandwidth });
    await link.listen(listen);
  },
  /** Speaks to the other host's libvirtd for whoever comes to this socket, as a host that was broken into could. */
  relay: async (path: string) => {
    const server = createServer({ allowHalfOpen: true }, async (socket) => {
      joinStreams(socket, await needLink().open("libvirt", goOn));
    });
    server.listen(path).unref();
    await once(server, "listening");
  },
  cutLeg: async (kind: string) => link?.cut(kind),
  granted: () => bandwidth.granted,
  linkCounts: () => Object.fromEntries(link?.opened ?? []),
  preLiveMigration: (uuid: string, order: ArrivalOrder) =>
    driver.moving.preLiveMigration(uuid, order, needLink(), goOn),
  liveMigration: (uuid: string, options: LiveMigrationOptions, block_migration = true) => {
    progress.length = 0;
    switched = false;
    const order = { options, block_migration, to: "to" };
    return driver.moving.liveMigration(uuid, order, needLink(), {
      progress: (one) => progress.push(one),
      switched: () => {
        switched = true;
      },
    });
  },
  postLiveMigration: (uuid: string) => driver.moving.postLiveMigration(uuid),
  abortLiveMigration: (uuid: string) => driver.moving.abortLiveMigration(uuid),
  forceCompleteLiveMigration: (uuid: string) => driver.moving.forceCompleteLiveMigration(uuid),
  stop: async () => {
    link?.close();
    await driver.close();
    await libvirtd.stop();
  },
};
export type MovingHost = typeof asked;

function needLink(): LocalMoveLink {
  if (link === undefined) throw new Error("there is no link");
  return link;
}

serve(asked);
