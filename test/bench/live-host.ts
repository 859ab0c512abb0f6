/**
 * A compute host of the bench of live migration: a session libvirtd, and the agent on it, in this process. Started by
 * MovingHosts (test/real/moving-hosts.ts), and ends with who started it.
 */
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { type RunningAgent, startAgent } from "../../agent/agent.ts";
import { parseConfig } from "../../agent/config.ts";
import { loadDriver } from "../../agent/drivers/load.ts";
import { enroll } from "../../agent/enroll.ts";
import { loadIdentity } from "../../agent/identity.ts";
import { createLog } from "../../agent/log.ts";
import { startLibvirtd } from "../real/libvirtd.ts";
import { serve } from "../real/served-host.ts";
import { countEdgeBytes } from "./edge-bytes.ts";

// Ctrl-C reaches the whole group; who started this host decides when it stops.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);

const libvirtd = await startLibvirtd();
let agent: RunningAgent | undefined;
let edgeBytes = (): number => 0;
let stopped: Promise<void> | undefined;

async function stop(): Promise<void> {
  await agent?.stop();
  await libvirtd.stop();
}

const asked = {
  root: () => libvirtd.root,
  uri: () => libvirtd.uri,
  virsh: (...args: string[]) => libvirtd.virsh(...args),
  /** Enrols as `host`, and runs its agent; `toml`: the top of its agent.toml. */
  join: async (edge: string, joinToken: string, host: string, toml: string) => {
    const stateDir = join(libvirtd.root, "agent");
    await enroll({ edge, joinToken, host, stateDir });
    edgeBytes = countEdgeBytes(edge);
    const config = parseConfig(`${toml}[libvirt]\nconnection_uri = "${libvirtd.uri}"\nvirt_type = "qemu"\n`);
    // As in production the log is written.
    const log = createLog(createWriteStream(join(libvirtd.root, "agent.log")));
    agent = await startAgent({
      stateDir,
      identity: await loadIdentity(stateDir),
      config,
      driverName: "libvirt",
      loadDriver: (context) => loadDriver({ driver: "libvirt", host, config }, context),
      version: "bench",
      log,
    });
  },
  /** That went between this host and the edge so far, both ways. */
  edgeBytes: () => edgeBytes(),
  stop: () => {
    stopped ??= stop();
    return stopped;
  },
};
export type LiveHost = typeof asked;

const end = () => void asked.stop().finally(() => process.exit(0));
process.once("disconnect", end);
if (process.connected) serve(asked);
else end(); // who started this host left meanwhile
