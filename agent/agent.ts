/** The running agent: puts the parts together, and takes them apart in the order that loses nothing. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CONSOLE_CLOSE } from "../functions/protocol/console.ts";
import type { FromAgent } from "../functions/protocol/frames.ts";
import { Calls } from "./calls.ts";
import type { AgentConfig } from "./config.ts";
import { ClosedConsoles } from "./console/closed-consoles.ts";
import { Consoles } from "./console/consoles.ts";
import { vncAccess } from "./console/vnc-access.ts";
import { DeletedGuests } from "./deleted-guests.ts";
import type { Driver, DriverContext } from "./drivers/driver.ts";
import { Fencing } from "./fencing.ts";
import type { Identity } from "./identity.ts";
import { ImageCache } from "./images.ts";
import { Journal } from "./journal.ts";
import { Link } from "./link.ts";
import type { Log } from "./log.ts";
import { loadMonitors } from "./monitors/load.ts";
import { Measuring } from "./monitors/measuring.ts";
import { Bandwidth } from "./move/bandwidth.ts";
import { DirectListener } from "./move/direct.ts";
import { HostMoves } from "./move/host-moves.ts";
import { ensureNodeIdentity } from "./node-identity.ts";
import { Progress, reportOf } from "./progress.ts";
import { Reconcile } from "./reconcile.ts";
import { ResourceTracker } from "./resource-tracker.ts";
import { Resume } from "./resume.ts";
import { Snapshots } from "./snapshots.ts";
import { makeSharedDir } from "./state-dir.ts";
import { startTasks } from "./tasks.ts";

/** How long a stop waits for the calls that run, and for the hypervisor to let go. All of a stop has 3 s. */
const DRAIN_MS = 500;
const DRIVER_CLOSE_MS = 500;
const MIB = 1024 * 1024;

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
  const journal = new Journal(join(options.stateDir, "journal.db"), options.identity.signer);
  const { stateDir, identity, log } = options;
  let driver: Driver | undefined;
  let listener: DirectListener | null = null;
  try {
    const measuring = new Measuring(await loadMonitors(options.config), log);
    const images = new ImageCache({
      dir: makeSharedDir(stateDir, "images"),
      config: options.config.image_cache,
      used: async () => (await driver?.usedImages?.()) ?? new Set(),
      identity,
      log,
    });
    driver = await startDriver(options, images);
    const maxSnapshots = options.config.max_concurrent_snapshots;
    const snapshots = new Snapshots({ dir: join(stateDir, "snapshots"), identity, driver, log, maxSnapshots });
    await ensureNodeIdentity({ stateDir, journal, driver }, identity.host);
    await snapshots.init();
    listener = await listen(options);
    return await assemble(options, { journal, images, driver, snapshots, measuring, listener });
  } catch (error) {
    listener?.stop();
    await driver?.close();
    journal.close();
    throw error;
  }
}

async function startDriver(options: AgentOptions, images: ImageCache): Promise<Driver> {
  const { stateDir, driverName, loadDriver, log } = options;
  const driver = await loadDriver({
    stateDir: makeSharedDir(stateDir, driverName),
    async image(ref, signal) {
      const path = await images.get(ref, signal);
      reportOf()("guest");
      return path;
    },
    log,
  });
  await driver.init();
  return driver;
}

/** Where other hosts may bring guests without the edge; null: nowhere. */
async function listen({ config, log }: AgentOptions): Promise<DirectListener | null> {
  const { migration_inbound_addr, migration_inbound_port } = config;
  if (migration_inbound_addr === "") return null;
  return DirectListener.start(migration_inbound_addr, migration_inbound_port, log);
}

type Parts = {
  journal: Journal;
  images: ImageCache;
  driver: Driver;
  snapshots: Snapshots;
  measuring: Measuring;
  listener: DirectListener | null;
};

async function assemble(options: AgentOptions, parts: Parts): Promise<RunningAgent> {
  const { journal, images, driver, snapshots, measuring, listener } = parts;
  const { identity, config, version, log } = options;
  const send = (frame: FromAgent) => link.send(frame);
  const closedConsoles = new ClosedConsoles(send);
  const consoles = new Consoles({
    driver,
    edge: identity.edge,
    access: vncAccess(config.vnc),
    heartbeatMs: config.vnc.heartbeat * 1000,
    maxSessions: config.vnc.max_sessions,
    onClosed: (closed) => closedConsoles.add(closed),
    log,
  });
  const bandwidth = new Bandwidth(config.migration_bandwidth * MIB);
  const onScreenGone = (server: string) => consoles.close(server, { code: CONSOLE_CLOSE.SCREEN_CLOSED });
  const moves = new HostMoves({ driver, identity, listener, bandwidth, log, onScreenGone });
  const calls = new Calls({
    driver,
    journal,
    log,
    consoles,
    cacheImage: (image) => images.prefetch(image),
    snapshots,
    moves,
    onScreenGone,
    maxBuilds: config.max_concurrent_builds,
    progress: new Progress((frame) => void link.send(frame)),
  });
  const tracker = new ResourceTracker({
    driver,
    measuring,
    config,
    inbound: listener && { address: config.migration_inbound_addr, port: listener.port },
    send,
  });
  const fencing = new Fencing({ stateDir: options.stateDir, driver, calls, boot: await driver.bootId(), log });
  // Before anything else: what the edge may have built anew elsewhere must not run here.
  await fencing.start();
  const mayResume = config.resume_guests_state_on_host_boot && !fencing.isOver;
  const resume = new Resume({ driver, journal, calls, log, enabled: mayResume });
  const deleted = new DeletedGuests({ driver, journal, calls, log, config });
  const reconcile = new Reconcile({
    driver,
    tracker,
    journal,
    calls,
    log,
    host: identity.host,
    version,
    resuming: () => resume.pending,
    events: config.workarounds.handle_virt_lifecycle_events,
    send,
  });
  const link = new Link({
    identity,
    hello: () => reconcile.hello(),
    onCall: (call) => images.during(() => calls.handle(call)),
    onAck: (call) => calls.ack(call),
    onDeleted: (guests) => deleted.told(guests),
    onConsoleNoted: (leg) => closedConsoles.noted(leg),
    onHeard: (at) => fencing.heard(at),
    onWelcome: (lease, at) => {
      fencing.welcomed(lease, at);
      reconcile.linked();
      closedConsoles.linked();
    },
    log,
  });
  // Before the first hello: a guest that is to be started must not be told as one that is off.
  const { ended: resumed } = await resume.begin(
    (uuid, fault) => void reconcile.resumed(uuid, fault).catch(() => undefined),
  );
  const stopTasks = startTasks({ config, reconcile, tracker, deleted, images, snapshots, journal, log });
  void link.run();

  const stop = async () => {
    stopTasks();
    fencing.stop();
    resume.stop();
    images.close();
    // While the edge can still be told how they ended.
    await consoles.stop();
    // Then the link, so that nothing new comes in; a call that ends now is answered from the journal later.
    await link.stop();
    await Promise.race([Promise.all([resumed, calls.idle()]), sleep(DRAIN_MS)]);
    calls.stop();
    // What a move's call fails with from here on counts as cut off.
    moves.stop();
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
