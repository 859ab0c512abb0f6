/** Bringing a disk from host to host, beside what Nova does it with (scp, rsync), on loopback. */
import { execFile, spawn } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { signerOf } from "../../agent/identity.ts";
import { ROOT } from "../../agent/up/edge.ts";
import type { MoveSide } from "../../functions/protocol/move.ts";
import { freePort } from "../free-port.ts";
import { moveTicket } from "../move-ticket.ts";
import { MIB } from "./bench.ts";
import { startChild } from "./child.ts";
import type { BenchEdgeOptions, BenchEdgeReady } from "./edge-process.ts";
import type { BenchMoved, BenchMoveOptions } from "./move-process.ts";
import { cpuMs, tree } from "./processes.ts";
import { percentile } from "./statistics.ts";
import { number } from "./table.ts";
import type { Ground } from "./target.ts";

const SIZE = 1024 * MIB;
/** As an installed system has it: in stretches, holes between. */
const USED = 100 * MIB;
const STRETCHES = 10;
const POLL_MS = 5;
const RSYNC = "/usr/bin/rsync";
const SCP = "/usr/bin/scp";
const SSHD = "/usr/sbin/sshd";

const run = promisify(execFile);
const rounds = (quick: boolean) => (quick ? 1 : 5);

type Brought = { seconds: number; cpuMs: number; edgeBytes: number; allocated: number };
type Way = { name: string; bring(from: string, to: string): Promise<Brought>; stop(): Promise<void> };

export const move = {
  name: "move",
  about: (quick: boolean) =>
    `a disk of ${SIZE / MIB} MiB, ${USED / MIB} of them used, to another host; median of ${rounds(quick)}`,
  async run(ground: Ground, quick: boolean): Promise<string[][][]> {
    const dir = join(ground.dir, "move");
    const [from, to] = [join(dir, "from"), join(dir, "to")];
    await mkdir(from, { recursive: true });
    await makeDisk(join(from, "disk"));
    const digest = await digestOf(join(from, "disk"));
    const ways: Way[] = [];
    const hints: string[] = [];
    const head = ["1 GiB disk, 100 MiB used", "s", "processor, s", "through the edge, MiB", "on disk there, MiB"];
    const all = new Map<Way, Brought[]>();
    try {
      ways.push(await moves(ground, "pipe"), await moves(ground, "direct"));
      if (existsSync(RSYNC)) ways.push(await rsync(dir));
      else hints.push("rsync: apt-get install rsync");
      if (existsSync(SCP) && existsSync(SSHD)) ways.push(await scp(dir));
      else hints.push("scp: apt-get install openssh-client openssh-server");
      for (const way of ways) all.set(way, []);
      for (let round = 0; round < rounds(quick); round++) {
        for (const [way, brought] of all) {
          await rm(to, { recursive: true, force: true });
          await mkdir(to);
          brought.push(await way.bring(from, to));
          if ((await digestOf(join(to, "disk"))) !== digest) throw new Error(`${way.name} brought another disk`);
        }
      }
    } finally {
      for (const way of ways) await way.stop();
    }
    const median = (brought: Brought[], of: (one: Brought) => number) => number(percentile(brought.map(of), 0.5));
    const rows = [...all].map(([{ name }, brought]) => [
      name,
      median(brought, ({ seconds }) => seconds),
      median(brought, ({ cpuMs }) => cpuMs / 1000),
      median(brought, ({ edgeBytes }) => edgeBytes / MIB),
      median(brought, ({ allocated }) => allocated / MIB),
    ]);
    return [[head, ...rows, ...hints.map((hint) => [`not here: ${hint}`])]];
  },
};

async function moves(ground: Ground, way: "pipe" | "direct"): Promise<Way> {
  const options: BenchEdgeOptions = { bundleDir: ground.bundleDir, configPath: join(ROOT, "wrangler.toml"), vars: {} };
  const edge = await startChild<BenchEdgeReady>("edge-process", options);
  return {
    name: way === "pipe" ? "edgenova, through the edge" : "edgenova, straight",
    stop: () => edge.stop(),
    async bring(from, to) {
      const migration = randomUUID();
      const inbound = way === "direct" ? { address: "127.0.0.1", port: await freePort() } : null;
      const keys = { source: generateKeyPairSync("ed25519"), destination: generateKeyPairSync("ed25519") };
      const start = async (side: MoveSide, other: MoveSide, dir: string) => {
        const peer = {
          migration,
          host: other,
          public_key: signerOf(keys[other].privateKey).publicKey,
          ticket: await moveTicket(migration, side),
          inbound,
        };
        const key = keys[side].privateKey.export({ type: "pkcs8", format: "pem" }).toString();
        const options: BenchMoveOptions = { side, edge: edge.ready.url, key, dir, peer };
        return startChild<object>("move-process", options);
      };
      const ends = [await start("source", "destination", from), await start("destination", "source", to)];
      const pids = [...edge.ready.workerd, ...ends.map(({ pid }) => pid)];
      const cpuBefore = cpuMs(pids);
      const startedMs = performance.now();
      await Promise.all(ends.map((end) => end.ask("start")));
      const moved = await Promise.all(
        ends.map(async (end) => {
          for (;;) {
            const moved = (await end.ask("moved")) as BenchMoved;
            if (moved && "failed" in moved) throw new Error(moved.failed);
            if (moved) return moved;
            await sleep(POLL_MS);
          }
        }),
      );
      const seconds = (performance.now() - startedMs) / 1000;
      const used = cpuMs(pids) - cpuBefore;
      for (const end of ends) await end.stop();
      // In from the one and out to the other is once through the edge.
      return { seconds, cpuMs: used, edgeBytes: moved[0]?.edge_bytes ?? Number.NaN, allocated: await allocatedOf(to) };
    },
  };
}

async function rsync(dir: string): Promise<Way> {
  const port = await freePort();
  const config = join(dir, "rsyncd.conf");
  await writeFile(
    config,
    `use chroot = no\nuid = ${userInfo().username}\ngid = *\n[to]\npath = ${dir}/to\nread only = no\n`,
  );
  const daemon = spawn(
    RSYNC,
    ["--daemon", "--no-detach", "--address=127.0.0.1", `--port=${port}`, `--config=${config}`],
    {
      stdio: "ignore",
    },
  );
  await listening(port);
  return {
    name: "rsync --sparse, its daemon, in clear",
    bring: (from, to) =>
      timed([daemon.pid ?? 0], to, () =>
        run(RSYNC, ["--sparse", join(from, "disk"), `rsync://127.0.0.1:${port}/to/disk`]),
      ),
    async stop() {
      daemon.kill();
      await once(daemon, "exit");
    },
  };
}

async function scp(dir: string): Promise<Way> {
  const port = await freePort();
  const [hostKey, userKey] = [join(dir, "host_key"), join(dir, "user_key")];
  for (const key of [hostKey, userKey]) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const options = [
    `HostKey=${hostKey}`,
    `AuthorizedKeysFile=${userKey}.pub`,
    `PidFile=none`,
    "StrictModes=no",
    "UsePAM=no",
    "ListenAddress=127.0.0.1",
    "Subsystem=sftp internal-sftp",
  ];
  const daemon = spawn(SSHD, ["-D", "-f", "/dev/null", "-p", String(port), ...options.flatMap((one) => ["-o", one])], {
    stdio: "ignore",
  });
  await listening(port);
  const client = [
    "-q",
    "-i",
    userKey,
    "-P",
    String(port),
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
  ];
  return {
    name: "scp",
    bring: (from, to) =>
      timed([daemon.pid ?? 0], to, () =>
        run(SCP, [...client, join(from, "disk"), `${userInfo().username}@127.0.0.1:${to}/disk`]),
      ),
    async stop() {
      daemon.kill();
      await once(daemon, "exit");
    },
  };
}

/** The processor time is of all that ran below this process and the daemons meanwhile, of which nothing else does. */
async function timed(daemons: number[], to: string, work: () => Promise<unknown>): Promise<Brought> {
  const startedMs = performance.now();
  const before = childrenMs(daemons);
  await work();
  const seconds = (performance.now() - startedMs) / 1000;
  return { seconds, cpuMs: childrenMs(daemons) - before, edgeBytes: 0, allocated: await allocatedOf(to) };
}

const childrenMs = (daemons: number[]) => cpuMs([process.pid, ...daemons.flatMap((pid) => tree(pid))]);

const allocatedOf = async (to: string) => (await stat(join(to, "disk"))).blocks * 512;

async function listening(port: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; ; await sleep(50)) {
    const socket = connect(port, "127.0.0.1");
    const up = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (up) return;
    if (Date.now() > deadline) throw new Error("what the disk is brought with does not listen");
  }
}

async function makeDisk(path: string): Promise<void> {
  const file = await open(path, "w");
  await file.truncate(SIZE);
  for (let at = 0; at < STRETCHES; at++) {
    await file.write(randomBytes(USED / STRETCHES), 0, USED / STRETCHES, Math.floor((SIZE / STRETCHES) * at));
  }
  await file.sync();
  await file.close();
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path, { highWaterMark: MIB })) hash.update(bytes);
  return hash.digest("hex");
}
