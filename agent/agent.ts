/** The running agent: puts the parts together, and takes them apart in the order that loses nothing. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Calls } from "./calls.ts";
import type { AgentConfig } from "./config.ts";
import { Consoles } from "./console/consoles.ts";
import { vncAccess } from "./console/vnc-access.ts";
import type { Driver, DriverContext } from "./drivers/driver.ts";
import type { Identity } from "./identity.ts";
import { ImageCache } from "./images.ts";
import { Journal } from "./journal.ts";
import { Link } from "./link.ts";
import type { Log } from "./log.ts";
import { every } from "./periodic.ts";
import { Reconcile } from "./reconcile.ts";
import { Snapshots } from "./snapshots.ts";
import { makeSharedDir } from "./state-dir.ts";

const PRUNE_JOURNAL_MS = 24 * 60 * 60 * 1000;
const PRUNE_SNAPSHOTS_MS = 60 * 60 * 1000;
/** How long a stop waits for the calls that run, and for the hypervisor to let go. All of a stop has 3 s. */
const DRAIN_MS = 500;
const DRIVER_CLOSE_MS = 500;

export type AgentOptions = {
  stateDir: string;
  identity: Identity;
  config: AgentConfig;
  /** Names the driver's directory. */
  driverName: string;
  loadDriver(context: DriverContext): Promise<Driver>;
  version: string;
  log: Log;
};

/** `stop` leaves every guest as it is and resolves within 3 s; it may be called again. */
export type RunningAgent = { stop(): Promise<void> };

/**
 * Starts an agent; resolves when the hypervisor is ready and the edge is being dialled.
 * Rejects with `Failure`, or with the driver's `DriverError`.
 */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const journal = new Journal(join(options.stateDir, "journal.db"));
  const { stateDir, identity, log } = options;
  try {
    const images = new ImageCache({ dir: makeSharedDir(stateDir, "images"), identity, log });
    const driver = await startDriver(options, images);
    const snapshots = new Snapshots({ dir: join(stateDir, "snapshots"), identity, driver, log });
    await snapshots.init();
    return assemble(options, { journal, images, driver, snapshots });
  } catch (error) {
    journal.close();
    throw error;
  }
}

async function startDriver(options: AgentOptions, images: ImageCache): Promise<Driver> {
  const { stateDir, driverName, loadDriver, log } = options;
  const driver = await loadDriver({
    stateDir: makeSharedDir(stateDir, driverName),
    image: (ref, signal) => images.get(ref, signal),
    log,
  });
  await driver.init();
  return driver;
}

type Parts = { journal: Journal; images: ImageCache; driver: Driver; snapshots: Snapshots };

function assemble(options: AgentOptions, { journal, images, driver, snapshots }: Parts): RunningAgent {
  const { identity, config, version, log } = options;
  const consoles = new Consoles({ driver, edge: identity.edge, access: vncAccess(config.vnc), log });
  const calls = new Calls({
    driver,
    journal,
    log,
    openConsole: (server, params) => consoles.open(server, params),
    cacheImage: (image) => images.prefetch(image),
    snapshots,
    onScreenGone: (server) => consoles.close(server),
    maxBuilds: config.max_concurrent_builds,
  });
  const reconcile = new Reconcile({
    driver,
    journal,
    calls,
    log,
    host: identity.host,
    version,
    send: (frame) => link.send(frame),
  });
  const link = new Link({
    identity,
    hello: () => reconcile.hello(),
    onCall: (call) => calls.handle(call),
    onAck: (call) => calls.ack(call),
    onWelcome: () => reconcile.linked(),
    log,
  });
  const periodic = [
    every({
      name: "sync_power_states",
      intervalMs: config.sync_power_state_interval * 1000,
      run: () => reconcile.syncPowerStates(),
      log,
    }),
    every({
      name: "update_resources",
      intervalMs: config.update_resources_interval * 1000,
      run: () => reconcile.updateResources(),
      log,
    }),
    every({ name: "prune_snapshots", intervalMs: PRUNE_SNAPSHOTS_MS, run: () => snapshots.prune(), log }),
    every({ name: "prune_journal", intervalMs: PRUNE_JOURNAL_MS, run: () => journal.prune(), log }),
  ];
  void link.run();

  const stop = async () => {
    for (const end of periodic) end();
    images.close();
    // The link first, so that nothing new comes in; a call that ends now is answered from the journal later.
    await Promise.all([link.stop(), consoles.stop()]);
    await Promise.race([calls.idle(), sleep(DRAIN_MS)]);
    calls.stop();
    snapshots.stop();
    reconcile.stop();
    await Promise.race([driver.close(), sleep(DRIVER_CLOSE_MS)]);
    journal.close();
  };
  let stopped: Promise<void> | undefined;
  return {
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}
