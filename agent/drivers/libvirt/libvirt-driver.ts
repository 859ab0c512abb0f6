/** The libvirt driver: nova/virt/libvirt/driver.py in small. Guests are QEMU domains on this host. */
import { hostname } from "node:os";
import { join } from "node:path";
import { type Inventory, POWER_STATE, type VncAddress } from "../../../functions/protocol/guest.ts";
import { type Diagnostics, type GuestSpec, MAX_CONSOLE_BYTES } from "../../../functions/protocol/methods.ts";
import { bootIdOf } from "../../boot-id.ts";
import type { AgentConfig } from "../../config.ts";
import { Turns } from "../../turns.ts";

import {
  type Driver,
  type DriverContext,
  DriverError,
  type Grace,
  type GuestInfo,
  type GuestNetworks,
  type LifecycleListener,
  type RebuildOrder,
  type RescueOrder,
} from "../driver.ts";
import { type Place, rebuild, spawn } from "./build.ts";
import { type HostCapabilities, parseCapabilities } from "./capabilities.ts";
import { readConsole } from "./console-output.ts";
import { diagnosticsOf } from "./diagnostics.ts";
import { type Endpoint, parseConnectionUri } from "./endpoint.ts";
import { toDriverError, unless, VIR_ERR } from "./errors.ts";
import { CONSOLE_LOG } from "./guest-folder.ts";
import { find, goOn, listOurs, powerOf, runs, stop } from "./guests.ts";
import { placeOf } from "./host.ts";
import { Instances } from "./instances.ts";
import { networksOf } from "./interfaces.ts";
import { inventoryOf } from "./inventory.ts";
import { Link } from "./link.ts";
import { LibvirtMoving } from "./moving.ts";
import { setAdminPassword } from "./password.ts";
import { PowerWatch } from "./power-watch.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";
import { thawLeft } from "./quiesce.ts";
import { INSTANCES, prepareFolders } from "./reach.ts";
import { endRescue, rescue } from "./rescue.ts";
import { askToShutDown } from "./shutdown.ts";
import { snapshotDisk } from "./snapshot.ts";
import { usedImages } from "./used-images.ts";
import { vncOf } from "./vnc-address.ts";

export type LibvirtOptions = AgentConfig["libvirt"];
/** Where guests' files are, if it is not the driver's own folder (nova: instances_path), and this host's name at the edge. */
export type LibvirtPlace = { instancesPath?: string; host?: string };

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class LibvirtDriver implements Driver {
  readonly #ctx: DriverContext;
  readonly #options: LibvirtOptions;
  readonly #instances: Instances;
  readonly #endpoint: Endpoint;
  readonly #turns = new Turns();
  readonly #watch = new PowerWatch(
    (uuid, look) => this.#turns.run(uuid, look),
    async (uuid) => powerOf(await this.#libvirt(), uuid),
    (uuid) => this.moving.awaits(uuid),
  );
  readonly #closing = new AbortController();
  #link: Link | undefined;
  #host: HostCapabilities = { kvm: false, qemuUser: null };
  readonly moving: LibvirtMoving;

  constructor(ctx: DriverContext, options: LibvirtOptions, { instancesPath, host }: LibvirtPlace = {}) {
    this.#ctx = ctx;
    const own = join(ctx.stateDir, INSTANCES);
    const path = instancesPath || own;
    this.#instances = new Instances({ path, host: host ?? hostname(), shared: path !== own });
    this.#options = options;
    this.#endpoint = parseConnectionUri(options.connection_uri);
    this.moving = new LibvirtMoving({
      ...{ endpoint: this.#endpoint, closing: this.#closing.signal },
      qemuUser: () => this.#host.qemuUser,
      instances: this.#instances,
      ...{ build: (...args) => this.#build(...args), inTurn: (...args) => this.#inTurn(...args) },
      ...{ look: (...args) => this.#look(...args), ask: (...args) => this.#ask(...args) },
      powerOff: (...args) => this.#powerOff(...args),
      place: (uuid) => this.#place(uuid, this.#closing.signal),
      log: (event, fields) => ctx.log(event, fields),
    });
  }

  async init(): Promise<void> {
    const link = new Link(this.#endpoint, {
      lifecycle: (event) => {
        this.moving.noted(event);
        this.#watch.hint(event.uuid);
      },
      restored: () => void this.#lookAtAll().catch(() => {}),
      log: (event, fields) => this.#ctx.log(event, fields),
    });
    this.#link?.close();
    this.#link = link;
    try {
      const libvirt = await link.get();
      this.#host = parseCapabilities(await libvirt.capabilities());
      await prepareFolders(this.#ctx.stateDir, this.#instances.path, this.#host.qemuUser);
      for (const { uuid, power_state } of await listOurs(libvirt)) {
        this.#watch.see(uuid, power_state, "asked");
        await this.#instances.adopt(uuid);
        await thawLeft(libvirt, uuid, this.#folder(uuid));
      }
    } catch (error) {
      link.close();
      this.#link = undefined;
      throw this.#failure("init", error);
    }
  }

  async close(): Promise<void> {
    // The link in the same breath: a wait that ends now stops no guest.
    this.#closing.abort();
    this.#link?.close();
  }

  getAvailableResource(): Promise<Inventory> {
    const here = { driver: this.#endpoint.driver, capabilities: this.#host, folder: this.#instances.path };
    return this.#ask("inventory", (libvirt) => inventoryOf(libvirt, here));
  }

  async listGuests(): Promise<GuestInfo[]> {
    const guests = await this.#ask("list", listOurs);
    return guests.filter(({ uuid }) => !this.moving.awaits(uuid));
  }

  bootId(): Promise<string | null> {
    return bootIdOf();
  }

  async listLeftovers(): Promise<string[]> {
    const own = await this.#instances.list();
    const there = new Set((await this.#ask("list", listOurs)).map(({ uuid }) => uuid));
    return own.filter((uuid) => !there.has(uuid));
  }

  getInfo(uuid: string): Promise<GuestInfo | null> {
    return this.#ask("info", async (libvirt) => {
      const power_state = await powerOf(libvirt, uuid);
      return power_state === null ? null : { uuid, power_state };
    });
  }

  listNetworks(): Promise<GuestNetworks[]> {
    return this.#ask("networks", networksOf);
  }

  spawn(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<void> {
    return this.#remake("spawn", uuid, signal, (libvirt, place) => spawn(libvirt, place, spec, signal));
  }

  rebuild(uuid: string, order: RebuildOrder, signal: AbortSignal): Promise<void> {
    return this.#remake("rebuild", uuid, signal, (libvirt, place) => rebuild(libvirt, place, order, signal));
  }

  rescue(uuid: string, order: RescueOrder, signal: AbortSignal): Promise<void> {
    return this.#remake("rescue", uuid, signal, async (libvirt, place) => {
      await this.#instances.needToStart(uuid);
      await rescue(libvirt, { domain: await this.#need(libvirt, uuid), place, order }, signal);
    });
  }

  unrescue(uuid: string): Promise<void> {
    return this.#boot("unrescue", uuid, async (libvirt, domain) => {
      const ended = await endRescue(libvirt, domain, this.#folder(uuid));
      if (ended || !runs(domain)) await libvirt.start(domain);
    });
  }

  destroy(uuid: string): Promise<void> {
    this.moving.giveUp(uuid);
    return this.#inTurn("destroy", uuid, async (libvirt) => {
      const domain = await find(libvirt, uuid);
      if (domain) {
        await stop(libvirt, domain);
        const files = await this.#instances.isFree(uuid);
        // A domain that was transient is gone by now.
        await libvirt.undefine(domain, { files }).catch(unless(VIR_ERR.NO_DOMAIN));
      } else await this.#instances.settle(uuid);
      await this.#instances.removeAside(uuid);
      await this.#instances.remove(uuid);
      await this.moving.forget(uuid);
    });
  }

  powerOn(uuid: string): Promise<void> {
    return this.#boot("power_on", uuid, goOn);
  }

  powerOff(uuid: string, grace?: Grace): Promise<void> {
    return this.#change("power_off", uuid, (libvirt, domain) => this.#powerOff(libvirt, domain, grace));
  }

  /** As Nova, HARD is a new QEMU process and not a reset: it also helps a guest whose QEMU hangs. */
  reboot(uuid: string, type: "SOFT" | "HARD", hurry: AbortSignal): Promise<void> {
    return this.#boot("reboot", uuid, async (libvirt, domain) => {
      const seconds = this.#options.wait_soft_reboot_seconds;
      const went = type === "SOFT" && (await this.#shutDown(libvirt, domain, { seconds, hurry }));
      if (!went) await stop(libvirt, domain);
      // The guest may have restarted by itself in between.
      await libvirt.start(domain).catch(unless(VIR_ERR.OPERATION_INVALID));
    });
  }

  pause(uuid: string): Promise<void> {
    return this.#change("pause", uuid, async (libvirt, domain) => {
      if ((await libvirt.state(domain)) !== DOMAIN_STATE.PAUSED) await libvirt.suspend(domain);
    });
  }

  unpause(uuid: string): Promise<void> {
    return this.#change("unpause", uuid, async (libvirt, domain) => {
      if ((await libvirt.state(domain)) !== DOMAIN_STATE.RUNNING) await libvirt.resume(domain);
    });
  }

  suspend(uuid: string): Promise<void> {
    return this.#change("suspend", uuid, async (libvirt, domain) => {
      const power = await powerOf(libvirt, uuid);
      if (power === POWER_STATE.RUNNING) return libvirt.managedSave(domain);
      if (power !== POWER_STATE.SUSPENDED) throw new DriverError("InstanceInvalidState", "the guest does not run");
    });
  }

  resume(uuid: string): Promise<void> {
    return this.#boot("resume", uuid, goOn);
  }

  getConsoleOutput(uuid: string): Promise<Buffer> {
    return this.#look("console_output", uuid, () =>
      readConsole(join(this.#folder(uuid), CONSOLE_LOG), MAX_CONSOLE_BYTES),
    );
  }

  getDiagnostics(uuid: string): Promise<Diagnostics> {
    return this.#look("diagnostics", uuid, diagnosticsOf);
  }

  setAdminPassword(uuid: string, password: string): Promise<void> {
    return this.#look("set_admin_password", uuid, (libvirt, domain) => setAdminPassword(libvirt, domain, password));
  }

  injectNmi(uuid: string): Promise<void> {
    return this.#look("inject_nmi", uuid, (libvirt, domain) => libvirt.injectNmi(domain));
  }

  async snapshot(uuid: string, path: string, signal: AbortSignal): Promise<{ disk_format: "qcow2" }> {
    const folder = this.#folder(uuid);
    await this.#change("snapshot", uuid, (...guest) => snapshotDisk(...guest, { folder, path }, signal));
    return { disk_format: "qcow2" };
  }

  usedImages(): Promise<ReadonlySet<string>> {
    return this.#ask("used_images", (libvirt) => usedImages(libvirt, this.#instances.path));
  }

  async getVncConsole(uuid: string): Promise<VncAddress> {
    // libvirt would answer once it has ended what is left of the guest here.
    if (this.moving.hasSwitched(uuid)) {
      throw new DriverError("ConsoleNotAvailable", "the guest goes on at another host");
    }
    return this.#look("vnc_console", uuid, async (libvirt, domain) => {
      const address = runs(domain) ? vncOf(await libvirt.xml(domain)) : null;
      if (address) return address;
      throw new DriverError("ConsoleNotAvailable", "the guest has no console now");
    });
  }

  onLifecycle(listener: LifecycleListener): () => void {
    return this.#watch.listen(listener);
  }

  #libvirt(): Promise<Libvirt> {
    return (
      this.#link?.get() ?? Promise.reject(new DriverError("HypervisorUnavailable", "the driver has not been started"))
    );
  }

  #folder(uuid: string): string {
    return this.#instances.folder(uuid);
  }

  async #powerOff(libvirt: Libvirt, domain: Domain, grace?: Grace): Promise<void> {
    if (grace && (await this.#shutDown(libvirt, domain, grace))) return;
    await stop(libvirt, domain);
  }

  async #shutDown(libvirt: Libvirt, domain: Domain, { seconds, hurry }: Grace): Promise<boolean> {
    if (!runs(domain)) return false;
    const ends = AbortSignal.any([hurry, this.#closing.signal]);
    const went = await askToShutDown(libvirt, domain, { seconds, hurry: ends });
    if (!went && !ends.aborted) this.#ctx.log("libvirt.shutdown_ignored", { server: domain.uuid, seconds });
    return went;
  }

  /** Work that needs an image; an abort of it is told as one, whatever it broke. */
  #build<T>(
    name: string,
    uuid: string,
    signal: AbortSignal,
    work: (libvirt: Libvirt, place: Place) => Promise<T>,
  ): Promise<T> {
    return this.#inTurn(name, uuid, async (libvirt) => {
      const place = await this.#place(uuid, signal);
      return work(libvirt, place).catch((error) => {
        if (!signal.aborted) throw error;
        throw new DriverError("BuildAbortException", "the build was given up", { cause: error });
      });
    });
  }

  /** As `#build`, for a guest that does not move. */
  #remake(
    name: string,
    uuid: string,
    signal: AbortSignal,
    work: (libvirt: Libvirt, place: Place) => Promise<void>,
  ): Promise<void> {
    return this.#build(name, uuid, signal, async (libvirt, place) => {
      await this.moving.settle(libvirt, uuid);
      await work(libvirt, place);
    });
  }

  #place(uuid: string, signal: AbortSignal): Promise<Place> {
    const guest = { uuid, instances: this.#instances };
    const here = { ctx: this.#ctx, endpoint: this.#endpoint, options: this.#options, capabilities: this.#host };
    return placeOf(here, guest, signal);
  }

  /** Work on a guest that is there, in its turn. */
  #change(name: string, uuid: string, work: (libvirt: Libvirt, domain: Domain) => Promise<void>): Promise<void> {
    return this.#inTurn(name, uuid, async (libvirt) => {
      await this.moving.settle(libvirt, uuid);
      await work(libvirt, await this.#need(libvirt, uuid));
    });
  }

  /** As `#change`, for what may start the guest: from files that are this host's. */
  #boot(name: string, uuid: string, work: (libvirt: Libvirt, domain: Domain) => Promise<void>): Promise<void> {
    return this.#change(name, uuid, async (libvirt, domain) => {
      await this.#instances.needToStart(uuid);
      await work(libvirt, domain);
    });
  }

  /** What waits for no turn: it changes nothing that another call would build on. */
  #look<T>(name: string, uuid: string, work: (libvirt: Libvirt, domain: Domain) => Promise<T>): Promise<T> {
    return this.#ask(name, async (libvirt) => work(libvirt, await this.#need(libvirt, uuid)), uuid);
  }

  async #ask<T>(name: string, work: (libvirt: Libvirt) => Promise<T>, uuid?: string): Promise<T> {
    try {
      return await work(await this.#libvirt());
    } catch (error) {
      throw this.#failure(name, error, uuid);
    }
  }

  /** Work of our own on a guest, in its turn. What it leaves is known, and not news; unless it failed. */
  async #inTurn<T>(name: string, uuid: string, work: (libvirt: Libvirt) => Promise<T>): Promise<T> {
    // It names a folder that is removed with all in it.
    if (!UUID.test(uuid)) throw new DriverError("InvalidCall", "a guest is named by a uuid in small letters");
    return this.#turns.run(uuid, async () => {
      try {
        const value = await work(await this.#libvirt());
        await this.#watch.look(uuid, "asked").catch(() => {});
        return value;
      } catch (error) {
        await this.#watch.look(uuid, "news").catch(() => {});
        throw this.#failure(name, error, uuid);
      }
    });
  }

  async #lookAtAll(): Promise<void> {
    const domains = await (await this.#libvirt()).listDomains();
    for (const uuid of new Set([...this.#watch.guests, ...domains.map((it) => it.uuid)])) this.#watch.hint(uuid);
  }

  async #need(libvirt: Libvirt, uuid: string): Promise<Domain> {
    const domain = await find(libvirt, uuid);
    if (domain) return domain;
    throw new DriverError("InstanceNotFound", "the hypervisor has no such guest");
  }

  /** The failure as it may be told; its cause, in the hypervisor's words, goes to the agent's log. */
  #failure(action: string, error: unknown, server?: string): DriverError {
    const told = toDriverError(error);
    const cause = told.cause instanceof Error ? told.cause.message : undefined;
    this.#ctx.log("libvirt.failed", { action, server, code: told.code, message: told.message, cause });
    return told;
  }
}
