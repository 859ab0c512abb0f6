/**
 * A hypervisor without hardware: for demonstrations, for development, and as the driver contract by example.
 *
 * Its guests are rows in a file, and a running one is an RFB server that shows a living screen. They outlive the agent
 * as real guests do: `close` ends the screens, and `init` finds the same guests in the same power state and serves
 * them again. What can go wrong on a real host can be ordered by a server's metadata: see demo-orders.ts.
 * A config drive is a plain tree of files: see config-drives.ts. What is written to `boot_id` in the driver's directory
 * names the run of the machine: another name there, and all guests are found off, as after a restart of a real host.
 *
 * What becomes of a guest, and when, is told by guest-life.ts. A guest that is RUNNING or PAUSED has a VNC server.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Inventory, POWER_STATE, type VncAddress } from "../../../functions/protocol/guest.ts";
import type { Diagnostics, GuestSpec, ImageRef } from "../../../functions/protocol/methods.ts";
import { Turns } from "../../turns.ts";
import {
  type Driver,
  type DriverContext,
  DriverError,
  type GuestInfo,
  type LifecycleListener,
  type RebuildOrder,
  type RescueOrder,
} from "../driver.ts";
import { type Accident, Accidents } from "./accidents.ts";
import { readBootId } from "./boot-id.ts";
import { Builds } from "./builds.ts";
import { ConfigDrives } from "./config-drives.ts";
import { consoleLog } from "./console-log.ts";
import { type Failable, failIfOrdered, readOrders, takeTime } from "./demo-orders.ts";
import { diagnosticsOf } from "./diagnostics.ts";
import { copyDisk } from "./disk-copy.ts";
import { Disks } from "./disks.ts";
import { known } from "./guest-id.ts";
import { booted, going, hasScreen, held, made, stopped, switchedOff, told, unpaused } from "./guest-life.ts";
import { GuestStore, infoOf, type StoredGuest } from "./guest-store.ts";
import { type FakeOptions, inventoryOf } from "./inventory.ts";
import { FakeMoving } from "./moving.ts";
import { Screens } from "./screens.ts";

export class FakeDriver implements Driver {
  readonly #ctx: DriverContext;
  readonly #inventory: Inventory;
  readonly #store: GuestStore;
  readonly #turns = new Turns();
  readonly #screens: Screens;
  readonly #drives: ConfigDrives;
  readonly #disks: Disks;
  readonly #builds = new Builds();
  readonly #closing = new AbortController();
  readonly #listeners = new Set<LifecycleListener>();
  readonly moving: FakeMoving;
  readonly #accidents = new Accidents((uuid, accident) => this.#befall(uuid, accident));

  constructor(ctx: DriverContext, options: FakeOptions = {}) {
    this.#ctx = ctx;
    this.#drives = new ConfigDrives(ctx.stateDir);
    this.#store = new GuestStore(join(ctx.stateDir, "guests.json"), ctx.log);
    this.#inventory = inventoryOf(options);
    this.#screens = new Screens(ctx, this.#inventory.hypervisor_hostname);
    this.#disks = new Disks(ctx.stateDir);
    this.moving = new FakeMoving({
      ...{ version: this.#inventory.hypervisor_version, closing: this.#closing.signal },
      ...{ disks: this.#disks, drives: this.#drives, screens: this.#screens, store: this.#store },
      inTurn: (uuid, work) => this.#turns.run(known(uuid), work),
      ...{ build: (...args) => this.#build(...args), prepare: (...args) => this.#prepare(...args) },
      ...{ become: (guest) => this.#become(guest), remove: (uuid) => this.#remove(uuid) },
    });
  }

  /** Serves the screens of the guests that run. A screen that cannot be served is logged; its guest runs without. */
  async init(): Promise<void> {
    await this.#store.load();
    const boot = await readBootId(this.#ctx.stateDir);
    await this.#store.boot(boot, (guest) => switchedOff(guest, Date.now()));
    for (const guest of this.#store.all()) {
      await this.#screens.follow(guest).catch((error: unknown) => {
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
    await this.#screens.closeAll();
    await this.#store.settled();
  }

  async getAvailableResource(): Promise<Inventory> {
    return { ...this.#inventory };
  }

  async listGuests(): Promise<GuestInfo[]> {
    return this.#store.all().map(infoOf);
  }

  bootId(): Promise<string> {
    return readBootId(this.#ctx.stateDir);
  }

  async listLeftovers(): Promise<string[]> {
    const those = new Set([...(await this.#drives.list()), ...(await this.#disks.list())]);
    return [...those].filter((uuid) => this.#store.get(uuid) === undefined);
  }

  async getInfo(uuid: string): Promise<GuestInfo | null> {
    const guest = this.#store.get(uuid);
    return guest ? infoOf(guest) : null;
  }

  /**
   * Fetches the image, waits as ordered, starts the guest. Nothing is left of a spawn that fails or is aborted. A guest
   * that exists was built by an earlier call: it is started if it is off, and otherwise left alone.
   */
  spawn(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<void> {
    return this.#build(uuid, signal, async (given) => {
      await this.moving.settle(uuid);
      const earlier = this.#store.get(uuid);
      if (earlier && hasScreen(earlier)) return this.#become(earlier);
      if (earlier === undefined) {
        await this.#prepare("spawn", spec, spec.image, given);
        await this.#drives.write({ uuid, spec });
      }
      const guest = earlier ?? made({ uuid, spec, now: Date.now() });
      await this.#drives.endRescue(uuid);
      await this.#become(going({ ...guest, rescue: null }, Date.now()));
    });
  }

  rebuild(uuid: string, { spec, start }: RebuildOrder, signal: AbortSignal): Promise<void> {
    return this.#build(uuid, signal, async (given) => {
      await this.moving.settle(uuid);
      await this.#prepare("rebuild", spec, spec.image, given);
      await this.#drives.write({ uuid, spec });
      await this.#drives.endRescue(uuid);
      const now = Date.now();
      const anew = made({ uuid, spec, now });
      await this.#screens.close(uuid);
      await this.#become(start ? booted(anew, now) : { ...anew, power_state: POWER_STATE.SHUTDOWN });
    });
  }

  rescue(uuid: string, { image, spec }: RescueOrder, signal: AbortSignal): Promise<void> {
    return this.#build(uuid, signal, async (given) => {
      await this.moving.settle(uuid);
      const guest = this.#existing(uuid);
      if (guest.rescue !== null && guest.power_state === POWER_STATE.RUNNING) return;
      await this.#prepare("rescue", guest.spec, image, given);
      if (spec !== null && guest.config_drive) await this.#drives.writeForRescue({ uuid, spec });
      await this.#screens.close(uuid);
      await this.#become(booted({ ...guest, rescue: image }, Date.now()));
    });
  }

  unrescue(uuid: string): Promise<void> {
    return this.#change(uuid, "unrescue", async (guest) => {
      if (guest.rescue === null) return this.#become(going(guest, Date.now()));
      await this.#screens.close(uuid);
      await this.#drives.endRescue(uuid);
      await this.#become(booted({ ...guest, rescue: null }, Date.now()));
    });
  }

  /** Cuts a build short that is under way. */
  async destroy(uuid: string): Promise<void> {
    this.#builds.cut(uuid, new DriverError("BuildAbortException", "the server was deleted while it was built"));
    this.moving.giveUp(uuid);
    await this.#turns.run(known(uuid), async () => {
      const guest = this.#store.get(uuid);
      if (guest) failIfOrdered(guest.spec.metadata, "destroy");
      await takeTime(guest?.spec.metadata ?? {}, "destroy");
      await this.#remove(uuid);
    });
  }

  powerOn(uuid: string): Promise<void> {
    return this.#change(uuid, "power_on", (guest) => this.#become(going(guest, Date.now())));
  }

  /** At once, however long it may take: nothing runs that would have to be asked. */
  powerOff(uuid: string): Promise<void> {
    return this.#change(uuid, "power_off", (guest) => this.#become(stopped(guest, POWER_STATE.SHUTDOWN, Date.now())));
  }

  /** Both types do the same. A reset keeps the VNC server and its clients, as QEMU does: its process goes on. */
  reboot(uuid: string, _type: "SOFT" | "HARD"): Promise<void> {
    return this.#change(uuid, "reboot", (guest) => this.#become(booted(guest, Date.now())));
  }

  pause(uuid: string): Promise<void> {
    return this.#change(uuid, "pause", (guest) => this.#become(held(guest, POWER_STATE.PAUSED, Date.now())));
  }

  unpause(uuid: string): Promise<void> {
    return this.#change(uuid, "unpause", (guest) => this.#become(unpaused(guest, Date.now())));
  }

  suspend(uuid: string): Promise<void> {
    return this.#change(uuid, "suspend", (guest) => this.#become(held(guest, POWER_STATE.SUSPENDED, Date.now())));
  }

  resume(uuid: string): Promise<void> {
    return this.#change(uuid, "resume", (guest) => this.#become(going(guest, Date.now())));
  }

  /** A guest's disk is its image. */
  async usedImages(): Promise<ReadonlySet<string>> {
    const images = this.#store.all().flatMap(({ spec, rescue }) => [spec.image, ...(rescue ? [rescue] : [])]);
    return new Set(images.map(({ sha512 }) => sha512));
  }

  snapshot(uuid: string, path: string, signal: AbortSignal): ReturnType<Driver["snapshot"]> {
    const image = (ref: ImageRef) => this.#ctx.image(ref, signal);
    return this.#turns.run(uuid, async () => copyDisk(this.#allowed(uuid, "snapshot").spec, path, image));
  }

  async getVncConsole(uuid: string): Promise<VncAddress> {
    this.#allowed(uuid, "vnc");
    const path = this.#screens.path(uuid);
    if (path === undefined) throw new DriverError("ConsoleNotAvailable", "the guest has no screen: it is not running");
    return { transport: "unix", path };
  }

  async getConsoleOutput(uuid: string): Promise<Buffer> {
    return consoleLog(this.#allowed(uuid, "get_console_output"), Date.now());
  }

  async getDiagnostics(uuid: string): Promise<Diagnostics> {
    return diagnosticsOf(this.#allowed(uuid, "get_diagnostics"), Date.now());
  }

  /** Keeps that it was set, and not what to. */
  setAdminPassword(uuid: string, _password: string): Promise<void> {
    return this.#change(uuid, "set_admin_password", async (guest) => {
      if (guest.power_state !== POWER_STATE.RUNNING) {
        throw new DriverError("InstancePasswordSetFailed", "the guest does not run");
      }
      await this.#say({ ...guest, password_set: true }, "passwd: password of root was changed from outside");
    });
  }

  injectNmi(uuid: string): Promise<void> {
    return this.#change(uuid, "inject_nmi", async (guest) => {
      if (!hasScreen(guest)) throw new DriverError("InstanceInvalidState", "the guest does not run");
      await this.#say(guest, "NMI received for unknown reason 30 on CPU 0.");
    });
  }

  onLifecycle(listener: LifecycleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Work that needs an image, in the guest's turn, with the signal that ends it. */
  #build<T>(uuid: string, signal: AbortSignal, work: (given: AbortSignal) => Promise<T>): Promise<T> {
    // From now on, not from its turn on: a destroy that comes while this build waits ends it too.
    return this.#builds.during(uuid, (cut) =>
      this.#turns.run(known(uuid), () => work(AbortSignal.any([signal, cut, this.#closing.signal]))),
    );
  }

  /** Fetches the image and does what the guest's metadata orders. Nothing has changed if it rejects. */
  async #prepare(method: Failable, { metadata }: GuestSpec, image: ImageRef, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#ctx.image(image, signal);
    await sleep(readOrders(metadata).delayMs, undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
    failIfOrdered(metadata, method);
  }

  #change(uuid: string, method: Failable, work: (guest: StoredGuest) => Promise<void>): Promise<void> {
    return this.#turns.run(uuid, async () => {
      await this.moving.settle(uuid);
      await work(this.#allowed(uuid, method));
    });
  }

  #existing(uuid: string): StoredGuest {
    const guest = this.#store.get(uuid);
    if (!guest) throw new DriverError("InstanceNotFound", "the host has no such guest");
    return guest;
  }

  /** The guest, if its metadata does not order the method to fail. */
  #allowed(uuid: string, method: Failable): StoredGuest {
    const guest = this.#existing(uuid);
    failIfOrdered(guest.spec.metadata, method);
    return guest;
  }

  /** Puts a guest on record as it is from now on, and its screen with it. A screen comes before its record and goes after. */
  async #become(guest: StoredGuest): Promise<void> {
    const { uuid } = guest;
    const before = this.#store.get(uuid);
    if (guest === before && (this.#screens.path(uuid) !== undefined || !hasScreen(guest))) return;
    try {
      if (hasScreen(guest)) await this.#screens.follow(guest);
      await this.#store.put(guest);
    } catch (error) {
      if (before === undefined) await this.#removeFiles(uuid);
      else await this.#screens.follow(before);
      throw error;
    }
    await this.#screens.follow(guest);
    this.#accidents.plan(guest, Date.now());
  }

  /** The guest's kernel prints a line, on the serial console and on the screen. */
  async #say(guest: StoredGuest, text: string): Promise<void> {
    await this.#store.put(told(guest, text, Date.now()));
    this.#screens.print(guest.uuid, text);
  }

  async #remove(uuid: string): Promise<void> {
    this.#accidents.cancel(uuid);
    await this.#screens.close(uuid);
    if (this.#store.get(uuid)) await this.#store.delete(uuid);
    await this.#removeFiles(uuid);
  }

  async #removeFiles(uuid: string): Promise<void> {
    await this.#screens.remove(uuid);
    await this.#drives.remove(uuid);
    await this.#disks.remove(uuid);
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
        await this.#become(stopped(guest, POWER_STATE.CRASHED, Date.now()));
        this.#tell({ uuid, power_state: POWER_STATE.CRASHED });
      } else {
        // It did not run when it was to crash, and is spared.
        await this.#store.put({ ...guest, crash_at: null });
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
