/** The libvirt driver: nova/virt/libvirt/driver.py in small. Guests are QEMU domains on this host. */
import { existsSync } from "node:fs";
import { chmod, mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Inventory, VncAddress } from "../../../functions/protocol/guest.ts";
import type { Diagnostics, GuestSpec } from "../../../functions/protocol/methods.ts";
import { makeConfigDrive } from "../../config-drive-image.ts";
import { Turns } from "../../turns.ts";
import { type Driver, type DriverContext, DriverError, type GuestInfo, type LifecycleListener } from "../driver.ts";
import { type HostCapabilities, parseCapabilities } from "./capabilities.ts";
import { buildDisks } from "./disk.ts";
import { domainXml, vncOf } from "./domain-xml.ts";
import { parseConnectionUri } from "./endpoint.ts";
import { LibvirtError, toDriverError, unless, VIR_ERR } from "./errors.ts";
import { find, listOurs, lookup, powerOf, runs, stop } from "./guests.ts";
import { Link } from "./link.ts";
import { PowerWatch } from "./power-watch.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";
import { checkWay, kvmUsable, shareBase } from "./reach.ts";

/** Nova's names (nova/conf/libvirt.py). `wait_soft_reboot_seconds`: how long a guest may take to shut down. */
export type LibvirtOptions = {
  connectionUri: string;
  virtType: "auto" | "kvm" | "qemu";
  waitSoftRebootSeconds?: number;
};

/** Nova's default of wait_soft_reboot_seconds. */
const WAIT_SOFT_REBOOT_SECONDS = 120;
const POLL_MS = 1_000;
const GIB = 2 ** 30;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** QEMU's user passes our folders and lists none of them. */
const PASSABLE = 0o711;
const PRIVATE = 0o700;

export class LibvirtDriver implements Driver {
  readonly #ctx: DriverContext;
  readonly #options: LibvirtOptions;
  readonly #turns = new Turns();
  readonly #watch = new PowerWatch(
    (uuid, look) => this.#turns.run(uuid, look),
    async (uuid) => powerOf(await this.#libvirt(), uuid),
  );
  /** Ends the wait of a SOFT reboot, for the work that would make it pointless. */
  readonly #softReboots = new Map<string, AbortController>();
  #link: Link | undefined;
  #host: HostCapabilities = { kvm: false, qemuUser: null };

  constructor(ctx: DriverContext, options: LibvirtOptions) {
    this.#ctx = ctx;
    this.#options = options;
  }

  async init(): Promise<void> {
    const link = new Link(parseConnectionUri(this.#options.connectionUri), {
      lifecycle: (uuid) => this.#watch.hint(uuid),
      restored: () => void this.#lookAtAll().catch(() => {}),
      log: (event, fields) => this.#ctx.log(event, fields),
    });
    this.#link?.close();
    this.#link = link;
    try {
      const libvirt = await link.get();
      this.#host = parseCapabilities(await libvirt.capabilities());
      await this.#prepareFolders();
      for (const { uuid, power_state } of await listOurs(libvirt)) this.#watch.see(uuid, power_state, "asked");
    } catch (error) {
      link.close();
      this.#link = undefined;
      throw this.#failure("init", error);
    }
  }

  async close(): Promise<void> {
    for (const wait of this.#softReboots.values()) wait.abort();
    this.#link?.close();
  }

  async getAvailableResource(): Promise<Inventory> {
    try {
      const libvirt = await this.#libvirt();
      const [node, hostname, type, version, disk] = await Promise.all([
        libvirt.nodeInfo(),
        libvirt.hostname(),
        libvirt.type(),
        libvirt.version(),
        statfs(this.#ctx.stateDir),
      ]);
      return {
        hypervisor_hostname: hostname,
        hypervisor_type: type,
        hypervisor_version: version,
        vcpus: node.cpus,
        memory_mb: Math.floor(node.memoryKib / 1024),
        local_gb: Math.floor((disk.blocks * disk.bsize) / GIB),
      };
    } catch (error) {
      throw this.#failure("inventory", error);
    }
  }

  async listGuests(): Promise<GuestInfo[]> {
    try {
      return await listOurs(await this.#libvirt());
    } catch (error) {
      throw this.#failure("list", error);
    }
  }

  async getInfo(uuid: string): Promise<GuestInfo | null> {
    try {
      const power_state = await powerOf(await this.#libvirt(), uuid);
      return power_state === null ? null : { uuid, power_state };
    } catch (error) {
      throw this.#failure("info", error);
    }
  }

  /** A domain is defined only after its disk is whole; so one that has its folder needs nothing but to run. */
  spawn(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<void> {
    return this.#change("spawn", uuid, (libvirt) =>
      this.#build(libvirt, { uuid, spec }, signal).catch((error) => {
        if (!signal.aborted) throw error;
        throw new DriverError("BuildAbortException", "the build was given up", { cause: error });
      }),
    );
  }

  destroy(uuid: string): Promise<void> {
    this.#softReboots.get(uuid)?.abort();
    return this.#change("destroy", uuid, async (libvirt) => {
      const domain = await find(libvirt, uuid);
      if (domain) {
        if (runs(domain)) await stop(libvirt, domain);
        // A domain that was transient is gone by now.
        await libvirt.undefine(domain).catch(unless(VIR_ERR.NO_DOMAIN));
      }
      await rm(this.#folder(uuid), { recursive: true, force: true });
    });
  }

  powerOn(uuid: string): Promise<void> {
    return this.#change("power_on", uuid, async (libvirt) => {
      const domain = await this.#need(libvirt, uuid);
      if (!runs(domain)) await libvirt.start(domain);
    });
  }

  powerOff(uuid: string): Promise<void> {
    this.#softReboots.get(uuid)?.abort();
    return this.#change("power_off", uuid, async (libvirt) => {
      const domain = await this.#need(libvirt, uuid);
      if (runs(domain)) await stop(libvirt, domain);
    });
  }

  /** As Nova, HARD is a new QEMU process and not a reset: it also helps a guest whose QEMU hangs. */
  reboot(uuid: string, type: "SOFT" | "HARD"): Promise<void> {
    if (type === "HARD") this.#softReboots.get(uuid)?.abort();
    return this.#change("reboot", uuid, async (libvirt) => {
      const domain = await this.#need(libvirt, uuid);
      if (runs(domain)) {
        const went = type === "SOFT" && (await this.#askToShutDown(libvirt, domain));
        if (!went) await stop(libvirt, domain);
      }
      // The guest may have restarted by itself in between.
      await libvirt.start(domain).catch(unless(VIR_ERR.OPERATION_INVALID));
    });
  }

  pause(): Promise<void> {
    return notSupported();
  }

  unpause(): Promise<void> {
    return notSupported();
  }

  suspend(): Promise<void> {
    return notSupported();
  }

  resume(): Promise<void> {
    return notSupported();
  }

  rescue(): Promise<void> {
    return notSupported();
  }

  unrescue(): Promise<void> {
    return notSupported();
  }

  rebuild(): Promise<void> {
    return notSupported();
  }

  getConsoleOutput(): Promise<Buffer> {
    return notSupported();
  }

  getDiagnostics(): Promise<Diagnostics> {
    return notSupported();
  }

  setAdminPassword(): Promise<void> {
    return notSupported();
  }

  injectNmi(): Promise<void> {
    return notSupported();
  }

  async getVncConsole(uuid: string): Promise<VncAddress> {
    try {
      const libvirt = await this.#libvirt();
      const domain = await this.#need(libvirt, uuid);
      const address = runs(domain) ? vncOf(await libvirt.xml(domain)) : null;
      if (address) return address;
    } catch (error) {
      throw this.#failure("vnc_console", error);
    }
    throw new DriverError("ConsoleNotAvailable", "the guest has no console now");
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
    return join(this.#ctx.stateDir, "instances", uuid);
  }

  async #prepareFolders(): Promise<void> {
    const user = this.#host.qemuUser;
    const instances = join(this.#ctx.stateDir, "instances");
    await mkdir(instances, { recursive: true, mode: PRIVATE });
    if (!user) return;
    if (process.geteuid?.() !== 0) {
      throw new DriverError(
        "HypervisorUnavailable",
        "this libvirt runs QEMU as another user, whose VNC sockets only root can open: run the agent as root, or use qemu:///session",
      );
    }
    await chmod(this.#ctx.stateDir, PASSABLE);
    await chmod(instances, PASSABLE);
    await checkWay(instances, user);
  }

  async #virtType(): Promise<"kvm" | "qemu"> {
    if (this.#options.virtType !== "auto") return this.#options.virtType;
    return this.#host.kvm && (await kvmUsable(this.#host.qemuUser)) ? "kvm" : "qemu";
  }

  async #build(libvirt: Libvirt, guest: { uuid: string; spec: GuestSpec }, signal: AbortSignal): Promise<void> {
    const { uuid, spec } = guest;
    signal.throwIfAborted();
    const found = await lookup(libvirt, uuid);
    if (found?.ours === false) {
      throw new DriverError("BuildAbortException", "the host has a domain of this uuid that edgenova did not make");
    }
    if (found && runs(found.domain)) return;
    const basePath = await this.#ctx.image(spec.image, signal);
    if (this.#host.qemuUser) await shareBase(basePath, this.#host.qemuUser);
    const kept = found !== null && existsSync(this.#folder(uuid));
    const domain = kept ? found.domain : await this.#define(libvirt, { uuid, spec, basePath }, signal);
    signal.throwIfAborted();
    await libvirt.start(domain).catch(buildFailed);
  }

  async #define(libvirt: Libvirt, guest: { uuid: string; spec: GuestSpec; basePath: string }, signal: AbortSignal) {
    const { uuid, spec, basePath } = guest;
    const folder = this.#folder(uuid);
    const mode = this.#host.qemuUser ? PASSABLE : PRIVATE;
    const disks = await buildDisks({ folder, spec, basePath, mode }, signal);
    const configDrive = await makeConfigDrive(join(folder, "disk.config"), guest, signal);
    signal.throwIfAborted();
    const virtType = await this.#virtType();
    const plan = { uuid, spec, virtType, disks, configDrive, consoleLog: join(folder, "console.log") };
    return libvirt.define(domainXml({ ...plan, relabels: this.#host.qemuUser !== null })).catch(buildFailed);
  }

  /** True when the guest shut down within its time; false when it is to be stopped hard. */
  async #askToShutDown(libvirt: Libvirt, domain: Domain): Promise<boolean> {
    const hurry = new AbortController();
    this.#softReboots.set(domain.uuid, hurry);
    try {
      if ((await libvirt.state(domain)) !== DOMAIN_STATE.RUNNING) return false;
      await libvirt.shutdown(domain);
      const seconds = this.#options.waitSoftRebootSeconds ?? WAIT_SOFT_REBOOT_SECONDS;
      for (let waited = 0; waited < seconds * 1000; waited += POLL_MS) {
        const state = await libvirt.state(domain);
        if (state === DOMAIN_STATE.SHUTOFF || state === DOMAIN_STATE.CRASHED) return true;
        await sleep(POLL_MS, undefined, { signal: hurry.signal });
      }
      this.#ctx.log("libvirt.soft_reboot_ignored", { server: domain.uuid, seconds });
      return false;
    } catch (error) {
      if (hurry.signal.aborted || error instanceof LibvirtError) return false;
      throw error;
    } finally {
      this.#softReboots.delete(domain.uuid);
    }
  }

  /** Work of our own on a guest, in its turn. What it leaves is known, and not news; unless it failed. */
  async #change(name: string, uuid: string, work: (libvirt: Libvirt) => Promise<void>): Promise<void> {
    // It names a folder that is removed with all in it.
    if (!UUID.test(uuid)) throw new DriverError("InvalidCall", "a guest is named by a uuid in small letters");
    await this.#turns.run(uuid, async () => {
      try {
        await work(await this.#libvirt());
      } catch (error) {
        await this.#watch.look(uuid, "news").catch(() => {});
        throw this.#failure(name, error, uuid);
      }
      await this.#watch.look(uuid, "asked").catch(() => {});
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

function notSupported(): Promise<never> {
  return Promise.reject(new DriverError("NotSupported", "this hypervisor cannot do that"));
}

function buildFailed(error: unknown): never {
  const told = toDriverError(error);
  if (told.code !== "Unexpected") throw told;
  throw new DriverError("BuildAbortException", "the hypervisor could not build the guest", { cause: error });
}
