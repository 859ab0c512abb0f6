/**
 * A hypervisor without hardware: for demonstrations, for development, and as the driver contract by example.
 *
 * Its guests are rows in a file, and a running one is an RFB server that shows a living screen. They outlive the agent
 * as real guests do: `close` ends the screens, and `init` finds the same guests in the same power state and serves
 * them again. What can go wrong on a real host can be ordered by a server's metadata: see demo-orders.ts.
 * A config drive is the plain tree of its files, in `config-drives/<uuid>`: nothing reads it but who is curious.
 *
 *             spawn                 power_off
 *   (none) ----------> RUNNING <-------------------> SHUTDOWN
 *      ^                  |         power_on, reboot     |
 *      | destroy, vanish  | crash                        |
 *      +------ CRASHED <--+                              |
 *      +-------------------------------------------------+
 *
 * CRASHED is left by power_on or reboot (RUNNING) and by power_off (SHUTDOWN). Only RUNNING has a VNC server.
 */
import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Inventory, POWER_STATE, type PowerState, type VncAddress } from "../../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { writeConfigDrive } from "../../config-drive-image.ts";
import { Turns } from "../../turns.ts";
import { type Driver, type DriverContext, DriverError, type GuestInfo, type LifecycleListener } from "../driver.ts";
import { type Accident, Accidents } from "./accidents.ts";
import { type Failable, failIfOrdered, readOrders } from "./demo-orders.ts";
import { GuestStore, type StoredGuest } from "./guest-store.ts";
import { RfbServer } from "./rfb-server.ts";
import { Screen } from "./screen.ts";
import { prepareSocket, removeSocket, socketPath } from "./socket-folder.ts";

/** What the host claims to have. Memory in MiB, disk in GiB. */
export type FakeOptions = { hostname?: string; vcpus?: number; memory_mb?: number; local_gb?: number };

/** As Nova's fake driver says "1.0" (nova/virt/fake.py). */
const HYPERVISOR_VERSION = 1000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Console = { screen: Screen; server: RfbServer };

export class FakeDriver implements Driver {
  readonly #ctx: DriverContext;
  readonly #inventory: Inventory;
  readonly #store: GuestStore;
  readonly #turns = new Turns();
  readonly #consoles = new Map<string, Console>();
  /** Spawns that have begun, to be cut short by destroy. */
  readonly #building = new Map<string, AbortController>();
  readonly #closing = new AbortController();
  readonly #listeners = new Set<LifecycleListener>();
  readonly #accidents = new Accidents((uuid, accident) => this.#befall(uuid, accident));

  constructor(ctx: DriverContext, options: FakeOptions = {}) {
    this.#ctx = ctx;
    this.#store = new GuestStore(join(ctx.stateDir, "guests.json"), ctx.log);
    this.#inventory = {
      hypervisor_hostname: options.hostname ?? hostname(),
      hypervisor_type: "fake",
      hypervisor_version: HYPERVISOR_VERSION,
      vcpus: options.vcpus ?? 16,
      memory_mb: options.memory_mb ?? 32_768,
      local_gb: options.local_gb ?? 500,
    };
  }

  /** Serves the screens of the guests that run. A screen that cannot be served is logged; its guest runs without. */
  async init(): Promise<void> {
    await this.#store.load();
    for (const guest of this.#store.all()) {
      if (guest.power_state !== POWER_STATE.RUNNING) continue;
      await this.#openConsole(guest).catch((error: unknown) => {
        this.#ctx.log("fake.screen_failed", { server: guest.uuid, error: String(error) });
      });
    }
    // Last: what is overdue then happens after this promise has resolved, when someone may listen.
    for (const guest of this.#store.all()) this.#accidents.plan(guest, Date.now());
  }

  async close(): Promise<void> {
    this.#closing.abort(new DriverError("HypervisorUnavailable", "the agent is stopping"));
    await this.#turns.idle();
    this.#accidents.cancelAll();
    await Promise.all([...this.#consoles.keys()].map((uuid) => this.#closeConsole(uuid)));
    await this.#store.settled();
  }

  async getAvailableResource(): Promise<Inventory> {
    return { ...this.#inventory };
  }

  async listGuests(): Promise<GuestInfo[]> {
    return this.#store.all().map(info);
  }

  async getInfo(uuid: string): Promise<GuestInfo | null> {
    const guest = this.#store.get(uuid);
    return guest ? info(guest) : null;
  }

  /**
   * Fetches the image, waits as ordered, starts the guest. Nothing is left of a spawn that fails or is aborted. A guest
   * that exists was built by an earlier call: it is started if it is off, and otherwise left alone.
   */
  async spawn(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<void> {
    const build = new AbortController();
    // From now on, not from its turn on: a destroy that comes while this spawn waits ends it too.
    this.#building.set(uuid, build);
    try {
      await this.#turns.run(known(uuid), () => {
        const earlier = this.#store.get(uuid);
        if (earlier) return this.#start(earlier);
        return this.#build({ uuid, spec, signal: AbortSignal.any([signal, build.signal, this.#closing.signal]) });
      });
    } finally {
      if (this.#building.get(uuid) === build) this.#building.delete(uuid);
    }
  }

  /** Cuts a spawn short that is under way. */
  async destroy(uuid: string): Promise<void> {
    const deleted = new DriverError("BuildAbortException", "the server was deleted while it was built");
    this.#building.get(uuid)?.abort(deleted);
    await this.#turns.run(known(uuid), async () => {
      const guest = this.#store.get(uuid);
      if (guest) failIfOrdered(guest.spec.metadata, "destroy");
      await this.#remove(uuid);
    });
  }

  powerOn(uuid: string): Promise<void> {
    return this.#change(uuid, "power_on", (guest) => this.#start(guest));
  }

  powerOff(uuid: string): Promise<void> {
    return this.#change(uuid, "power_off", async (guest) => {
      if (guest.power_state === POWER_STATE.SHUTDOWN) return;
      await this.#rest(guest, POWER_STATE.SHUTDOWN);
    });
  }

  /** Both types do the same. A reset keeps the VNC server and its clients, as QEMU does: its process goes on. */
  reboot(uuid: string, _type: "SOFT" | "HARD"): Promise<void> {
    return this.#change(uuid, "reboot", async (guest) => {
      if (guest.power_state !== POWER_STATE.RUNNING) return this.#start(guest);
      const booted = { ...guest, booted_at: Date.now() };
      await this.#store.put(booted);
      this.#consoles.get(uuid)?.screen.boot(booted.booted_at);
    });
  }

  async getVncConsole(uuid: string): Promise<VncAddress> {
    const guest = this.#existing(uuid);
    failIfOrdered(guest.spec.metadata, "vnc");
    const console = this.#consoles.get(uuid);
    if (!console) throw new DriverError("ConsoleNotAvailable", "the guest has no screen: it is not running");
    return { transport: "unix", path: console.server.path };
  }

  onLifecycle(listener: LifecycleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #build({ uuid, spec, signal }: { uuid: string; spec: GuestSpec; signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    const orders = readOrders(spec.metadata);
    await this.#ctx.image(spec.image, signal);
    await sleep(orders.delayMs, undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
    failIfOrdered(spec.metadata, "spawn");
    await this.#writeDrive({ uuid, spec });
    const at = Date.now();
    await this.#start({
      uuid,
      // The drive has what is told once; the list of guests need not have it too.
      spec: { ...spec, config_drive: null },
      power_state: POWER_STATE.NOSTATE,
      booted_at: at,
      vanish_at: orders.vanishMs === null ? null : at + orders.vanishMs,
      crash_at: orders.crashMs === null ? null : at + orders.crashMs,
    });
  }

  #change(uuid: string, method: Failable, work: (guest: StoredGuest) => Promise<void>): Promise<void> {
    return this.#turns.run(uuid, async () => {
      const guest = this.#existing(uuid);
      failIfOrdered(guest.spec.metadata, method);
      await work(guest);
    });
  }

  #existing(uuid: string): StoredGuest {
    const guest = this.#store.get(uuid);
    if (!guest) throw new DriverError("InstanceNotFound", "the host has no such guest");
    return guest;
  }

  /** Makes a guest run, whatever it did before. The screen comes first: a guest on record always has one to serve. */
  async #start(guest: StoredGuest): Promise<void> {
    const { uuid } = guest;
    const running = guest.power_state === POWER_STATE.RUNNING;
    if (running && this.#consoles.has(uuid)) return;
    const started = { ...guest, power_state: POWER_STATE.RUNNING, booted_at: running ? guest.booted_at : Date.now() };
    try {
      await this.#openConsole(started);
      await this.#store.put(started);
    } catch (error) {
      await this.#closeConsole(uuid);
      if (!this.#store.get(uuid)) await this.#removeFiles(uuid);
      throw error;
    }
    this.#accidents.plan(started, Date.now());
  }

  /** Stops a guest. A crash that was to come has lost its guest, and will not come. */
  async #rest(guest: StoredGuest, power_state: PowerState): Promise<void> {
    const resting = { ...guest, power_state, crash_at: null };
    await this.#store.put(resting);
    this.#accidents.plan(resting, Date.now());
    await this.#closeConsole(guest.uuid);
  }

  async #remove(uuid: string): Promise<void> {
    this.#accidents.cancel(uuid);
    await this.#closeConsole(uuid);
    if (this.#store.get(uuid)) await this.#store.delete(uuid);
    await this.#removeFiles(uuid);
  }

  async #writeDrive(guest: { uuid: string; spec: GuestSpec }): Promise<void> {
    try {
      await writeConfigDrive(this.#driveOf(guest.uuid), guest);
    } catch (error) {
      await this.#removeFiles(guest.uuid);
      throw error;
    }
  }

  #driveOf(uuid: string): string {
    return join(this.#ctx.stateDir, "config-drives", uuid);
  }

  async #removeFiles(uuid: string): Promise<void> {
    await removeSocket(socketPath(this.#ctx.stateDir, uuid));
    await rm(this.#driveOf(uuid), { recursive: true, force: true });
  }

  async #openConsole({ uuid, spec, booted_at }: StoredGuest): Promise<void> {
    const size = `${spec.vcpus} vCPU, ${spec.memory_mb} MB memory, ${spec.disk_gb} GB disk`;
    const facts = { name: spec.display_name, uuid, size, host: this.#inventory.hypervisor_hostname };
    const screen = new Screen(facts, booted_at);
    const path = socketPath(this.#ctx.stateDir, uuid);
    await prepareSocket(path);
    const log: DriverContext["log"] = (event, fields) => this.#ctx.log(event, { server: uuid, ...fields });
    const server = await RfbServer.listen({ path, display: screen, name: spec.display_name, log });
    this.#consoles.set(uuid, { screen, server });
  }

  async #closeConsole(uuid: string): Promise<void> {
    const console = this.#consoles.get(uuid);
    this.#consoles.delete(uuid);
    await console?.server.close();
  }

  /** What nobody asked for happens, and is told. */
  #befall(uuid: string, accident: Accident): void {
    const happened = this.#turns.run(uuid, async () => {
      const guest = this.#store.get(uuid);
      if (!guest || this.#closing.signal.aborted) return;
      if (accident === "vanish") {
        await this.#remove(uuid);
        this.#tell({ uuid, power_state: POWER_STATE.NOSTATE });
      } else if (guest.power_state === POWER_STATE.RUNNING) {
        await this.#rest(guest, POWER_STATE.CRASHED);
        this.#tell({ uuid, power_state: POWER_STATE.CRASHED });
      }
    });
    happened.catch((error: unknown) => {
      this.#ctx.log("fake.accident_failed", { server: uuid, accident, error: String(error) });
    });
  }

  #tell(guest: GuestInfo): void {
    for (const listener of this.#listeners) listener(guest);
  }
}

function info({ uuid, power_state }: StoredGuest): GuestInfo {
  return { uuid, power_state };
}

/** A uuid becomes part of a path. */
function known(uuid: string): string {
  if (!UUID.test(uuid)) throw new DriverError("InvalidCall", "the server's id is not a uuid");
  return uuid;
}
