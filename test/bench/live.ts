/** Bringing a running guest from host to host, beside what libvirt does alone, on loopback: QEMU without KVM. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { Cloud } from "../../agent/up/cloud.ts";
import { ROOT } from "../../agent/up/edge.ts";
import { freePort } from "../free-port.ts";
import { LIBVIRT_NEEDS } from "../real/libvirtd.ts";
import { MovingHosts } from "../real/moving-hosts.ts";
import { TEST_SECRETS } from "../secrets.ts";
import { ApiClient } from "./api-client.ts";
import { MIB } from "./bench.ts";
import { startChild } from "./child.ts";
import type { BenchEdgeOptions, BenchEdgeReady } from "./edge-process.ts";
import { domainOf, type Guest, type Host, MEMORY_MIB, plainGuest, serverGuest, USED, until } from "./live-guests.ts";
import type { LiveHost } from "./live-host.ts";
import { LiveViewer } from "./live-viewer.ts";
import { percentile } from "./statistics.ts";
import { number } from "./table.ts";
import type { Ground } from "./target.ts";

const NEEDS = ["/usr/bin/unshare", "/usr/bin/qemu-io", ...LIBVIRT_NEEDS.paths];

const rounds = (quick: boolean) => (quick ? 1 : 5);

/** `jobSeconds` are those of libvirt's job alone; `awayMs` is how long a viewer had no picture. */
type Brought = { seconds: number; jobSeconds: number; downtimeMs: number; edgeBytes: number; awayMs: number };

const services = z.object({ services: z.array(z.object({ state: z.string() })) });

export const live = {
  name: "live",
  about: (quick: boolean) =>
    `a running guest, ${MEMORY_MIB} MiB of memory, ${USED / MIB} MiB on its disk, to another host; median of ${rounds(quick)}`,
  async run(ground: Ground, quick: boolean): Promise<string[][][]> {
    const missing = NEEDS.filter((path) => !existsSync(path));
    if (missing.length > 0)
      return [[[`live is not here: apt-get install ${LIBVIRT_NEEDS.apt} (${missing.join(", ")})`]]];
    const options: BenchEdgeOptions = {
      bundleDir: ground.bundleDir,
      configPath: join(ROOT, "wrangler.toml"),
      vars: { RESERVED_HOST_MEMORY_MB: "0", SHUTDOWN_TIMEOUT: "1" },
    };
    const edge = await startChild<BenchEdgeReady>("edge-process", options);
    const machines = await MovingHosts.open(ground.dir);
    const hosts: Host[] = [];
    try {
      const { url } = edge.ready;
      const cloud = await Cloud.login(url, TEST_SECRETS.ADMIN_PASSWORD);
      const start = async (name: string, toml: string): Promise<Host> => {
        const asked = await machines.start<LiveHost>(name, "../bench/live-host.ts");
        const host = { name, asked, root: await asked.root(), uri: await asked.uri() };
        hosts.push(host);
        await asked.join(url, await cloud.joinToken(name), name, toml);
        return host;
      };
      // The second is reached without the edge, the first by the pipe alone.
      const inbound = `migration_inbound_addr = "127.0.0.1"\nmigration_inbound_port = ${await freePort()}\n`;
      const [one, two] = [await start("hv1", ""), await start("hv2", inbound)];
      const api = await ApiClient.of({ url, cloud });
      await until(async () => {
        const all = services.parse(await api.call("GET", "/os-services")).services;
        return all.filter(({ state }) => state === "up").length >= hosts.length;
      }, "both hosts are up");
      return [await compared({ url, api }, { one, two, dir: ground.dir }, rounds(quick))];
    } finally {
      await machines.stop(hosts.map(({ asked }) => asked));
      await edge.stop();
    }
  },
};

/** The guests take turns, so that a busy machine is busy for both. */
async function compared(
  { url, api }: { url: string; api: ApiClient },
  { one, two, dir }: { one: Host; two: Host; dir: string },
  rounds: number,
): Promise<string[][]> {
  const file = join(dir, "used");
  await writeFile(file, randomBytes(USED));
  const hosts = [one, two];
  const server = await serverGuest(api, hosts, file);
  const plain = await plainGuest(server, hosts, file);
  const viewer = await LiveViewer.on({ url }, api, server.server);
  const straight: Brought[] = [];
  const pipe: Brought[] = [];
  const virsh: Brought[] = [];
  const [here, there] = server.at === one ? [one, two] : [two, one];
  for (let round = 0; round < rounds; round++) {
    for (const [from, to] of [[here, there] as const, [there, here] as const]) {
      (to === two ? straight : pipe).push(await brought(server, from, to, viewer));
      virsh.push(await brought(plain, from, to));
    }
  }
  viewer.close();
  const row = (name: string, all: Brought[]) => {
    const median = (of: (one: Brought) => number) => number(percentile(all.map(of), 0.5));
    return [
      name,
      median(({ seconds }) => seconds),
      median(({ jobSeconds }) => jobSeconds),
      median(({ downtimeMs }) => downtimeMs),
      median(({ edgeBytes }) => edgeBytes / MIB),
      median(({ awayMs }) => awayMs),
    ];
  };
  return [
    [
      `a running guest, ${USED / MIB} MiB on its disk`,
      "s",
      "libvirt's job, s",
      "downtime, ms",
      "through the edge, MiB",
      "viewer without a picture, ms",
    ],
    row("edgenova, through the edge", pipe),
    row("edgenova, straight", straight),
    row("virsh migrate --p2p, UNIX sockets", virsh),
  ];
}

async function brought(guest: Guest, from: Host, to: Host, viewer?: LiveViewer): Promise<Brought> {
  // In from the one and out to the other is once through the edge.
  const before = await from.asked.edgeBytes();
  const away = viewer?.away();
  const startedMs = performance.now();
  await guest.bring(from, to);
  const seconds = (performance.now() - startedMs) / 1000;
  const edgeBytes = (await from.asked.edgeBytes()) - before;
  const stats = await to.asked.virsh("domjobinfo", domainOf(guest.server), "--completed", "--rawstats");
  const figure = (name: string) => Number(new RegExp(`^${name}: *(\\d+)$`, "m").exec(stats)?.[1] ?? Number.NaN);
  const awayMs = (await away) ?? Number.NaN;
  return { seconds, jobSeconds: figure("time_elapsed") / 1000, downtimeMs: figure("downtime"), edgeBytes, awayMs };
}
