/** The two guests of the bench of live migration: a server of the edge's, and its like that libvirt alone knows. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { z } from "zod";
import { CONFIG_DRIVE } from "../../agent/drivers/libvirt/guest-folder.ts";
import type { Served } from "../real/moving-hosts.ts";
import type { ApiClient } from "./api-client.ts";
import { MIB } from "./bench.ts";
import type { LiveHost } from "./live-host.ts";

export const MEMORY_MIB = 128;
const DISK_GIB = 1;
/** Where on its disk a guest's own bytes are; its image, which is at both hosts, is at the beginning. */
export const USED = 64 * MIB;
const USED_FROM = 100 * MIB;
/** Seldom enough for the edge to have better to do. */
const POLL_MS = 50;
const TIMEOUT_MS = 120_000;

const run = promisify(execFile);

export type Host = { name: string; root: string; uri: string; asked: Served<LiveHost> };

/** `bring` resolves when it runs at the other host, and is no longer at the first. */
export type Guest = { server: string; at: Host; bring(from: Host, to: Host): Promise<void> };

const flavor = z.object({ flavor: z.object({ id: z.string() }) });
const shown = z.object({
  server: z.object({
    status: z.string(),
    "OS-EXT-STS:task_state": z.string().nullable(),
    "OS-EXT-SRV-ATTR:host": z.string().nullable(),
    fault: z.object({ message: z.string() }).optional(),
  }),
});

/** A server of the demo image's, whose disk has the bytes of the file `used` too. */
export async function serverGuest(api: ApiClient, hosts: readonly Host[], used: string): Promise<Guest> {
  const size = { name: "live", ram: MEMORY_MIB, vcpus: 1, disk: DISK_GIB };
  const { id } = flavor.parse(await api.call("POST", "/flavors", { flavor: size })).flavor;
  const server = await api.create("live", 1, id);
  const show = async () => shown.parse(await api.call("GET", `/servers/${server}`)).server;
  const act = (body: object) => api.call("POST", `/servers/${server}/action`, body);
  const becomes = (status: string, host?: Host) =>
    until(
      async () => {
        const now = await show();
        if (now.status === "ERROR") throw new Error(`the server failed: ${now.fault?.message}`);
        if (now.status !== status || now["OS-EXT-STS:task_state"] !== null) return false;
        return host === undefined || now["OS-EXT-SRV-ATTR:host"] === host.name;
      },
      `the server is ${status}${host ? ` at ${host.name}` : ""}`,
    );
  await becomes("ACTIVE");
  const host = (await show())["OS-EXT-SRV-ATTR:host"];
  const at = hosts.find(({ name }) => name === host);
  if (at === undefined) throw new Error(`the server is at ${host}`);
  await act({ "os-stop": null });
  await becomes("SHUTOFF");
  await fill(join(at.root, "agent/libvirt/instances", server, "disk"), used);
  await act({ "os-start": null });
  await becomes("ACTIVE");
  return {
    server,
    at,
    async bring(_, to) {
      await act({ "os-migrateLive": { host: null, block_migration: "auto" } });
      await becomes("ACTIVE", to);
    },
  };
}

/** The same virtual machine at the same host, with a disk like that, which no agent looks after. */
export async function plainGuest(like: Guest, hosts: readonly Host[], used: string): Promise<Guest> {
  const { at } = like;
  const instance = join(at.root, "agent/libvirt/instances", like.server);
  const stored = await at.asked.virsh("dumpxml", "--inactive", domainOf(like.server));
  const image = /<source file='([^']*\/agent\/images\/[^']*)'/.exec(stored)?.[1];
  if (image === undefined) throw new Error("the server's disk leans on no image");
  const server = randomUUID();
  const domain = domainOf(server);
  const folder = (host: Host) => join(host.root, "plain");
  const file = (host: Host, name: string) => join(folder(host), name);
  for (const host of hosts) {
    await mkdir(folder(host));
    await copyFile(image, file(host, "base"));
    await copyFile(join(instance, CONFIG_DRIVE), file(host, CONFIG_DRIVE));
  }
  const makeDisk = async (host: Host) => {
    const backing = ["-b", file(host, "base"), "-F", "raw"];
    await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, file(host, "disk"), `${DISK_GIB}G`]);
  };
  const xml = stored
    .replace(/<metadata>.*<\/metadata>/s, "")
    .replaceAll(instance, folder(at))
    .replaceAll(image, file(at, "base"))
    .replaceAll(like.server, server);
  await writeFile(file(at, "domain.xml"), xml);
  await makeDisk(at);
  await fill(file(at, "disk"), used);
  await at.asked.virsh("define", file(at, "domain.xml"));
  await at.asked.virsh("start", domain);
  return {
    server,
    at,
    async bring(from, to) {
      // As the agents do: an empty disk to copy to, and the description with the paths of the other host.
      await makeDisk(to);
      const there = async (...which: string[]) => {
        const path = file(to, `there${which.join("")}.xml`);
        const here = await from.asked.virsh("dumpxml", "--migratable", ...which, domain);
        await writeFile(path, here.replaceAll(from.root, to.root));
        return path;
      };
      const [memory, disks] = ["memory", "disks"].map((name) => `unix://${file(to, name)}`);
      await from.asked.virsh(
        "migrate",
        domain,
        to.uri.replace("qemu:", "qemu+unix:"),
        ...["--live", "--p2p", "--persistent", "--undefinesource", "--abort-on-error", "--copy-storage-inc"],
        ...["--migrateuri", memory ?? "", "--disks-uri", disks ?? "", "--migrate-disks", "vda"],
        ...["--xml", await there(), "--persistent-xml", await there("--inactive")],
      );
      await rm(file(from, "disk"));
    },
  };
}

export const domainOf = (server: string) => `instance-${server}`;

/** Writes the bytes of `file` to a disk that nothing runs from. */
async function fill(disk: string, file: string): Promise<void> {
  await run("qemu-io", ["-f", "qcow2", "-c", `write -q -s ${file} ${USED_FROM} ${USED}`, disk]);
}

/** Polls for `holds` every POLL_MS; rejects when that takes too long. */
export async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + TIMEOUT_MS; !(await holds()); await sleep(POLL_MS)) {
    if (Date.now() > deadline) throw new Error(`it did not come true that ${what}`);
  }
}
