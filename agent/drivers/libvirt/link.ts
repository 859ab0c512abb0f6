/**
 * The way to libvirt that outlives libvirtd: one connection at a time, dialled again when it is lost.
 *
 *     down --dial--> up --socket closes--> down (redial after a pause, or at once when somebody calls)
 *       \--close()--> closed
 */
import { DriverError } from "../driver.ts";
import { dialAdvice, driverAdvice, type Endpoint, startSessionDaemon } from "./endpoint.ts";
import { isLibvirtError, VIR_ERR } from "./errors.ts";
import { AUTH_NONE, Libvirt, type LifecycleEvent, readLifecycleEvent } from "./procedures.ts";
import { RpcConnection, type RpcEvents } from "./rpc.ts";

const REDIAL_BASE_MS = 500;
const REDIAL_CAP_MS = 30_000;

export type LinkEvents = {
  /** A domain's lifecycle changed; how it is by now, the reader asks libvirt. */
  lifecycle(event: LifecycleEvent): void;
  /** Connected again after a loss: events in between are lost. */
  restored(): void;
  log(event: string, fields?: Record<string, unknown>): void;
};

export class Link {
  readonly #endpoint: Endpoint;
  readonly #events: LinkEvents;
  #up: Libvirt | undefined;
  #dialing: Promise<Libvirt> | undefined;
  #redial: NodeJS.Timeout | undefined;
  #attempt = 0;
  #lost = false;
  #closed = false;

  constructor(endpoint: Endpoint, events: LinkEvents) {
    this.#endpoint = endpoint;
    this.#events = events;
  }

  /** The open connection; dials when there is none. Rejects with HypervisorUnavailable and advice. */
  get(): Promise<Libvirt> {
    if (this.#closed) return Promise.reject(new DriverError("HypervisorUnavailable", "the agent is stopping"));
    if (this.#up) return Promise.resolve(this.#up);
    this.#dialing ??= this.#dial();
    return this.#dialing;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#redial);
    this.#up?.close();
    this.#up = undefined;
  }

  async #dial(): Promise<Libvirt> {
    clearTimeout(this.#redial);
    try {
      return await this.#connect();
    } catch (error) {
      if (this.#lost) this.#scheduleRedial();
      throw error;
    } finally {
      this.#dialing = undefined;
    }
  }

  async #connect(): Promise<Libvirt> {
    let alive = true;
    const rpc = await this.#dialAny({
      event: (procedure, payload) => {
        const event = readLifecycleEvent(procedure, payload);
        if (event) this.#events.lifecycle(event);
      },
      closed: (reason) => {
        alive = false;
        this.#down(reason);
      },
    });
    const libvirt = new Libvirt(rpc);
    try {
      await this.#greet(libvirt);
    } catch (error) {
      libvirt.close();
      throw error;
    }
    if (this.#closed || !alive) {
      libvirt.close();
      throw new DriverError("HypervisorUnavailable", "the connection to libvirt was lost");
    }
    this.#up = libvirt;
    this.#attempt = 0;
    if (this.#lost) {
      this.#lost = false;
      this.#events.log("libvirt.restored");
      this.#events.restored();
    }
    return libvirt;
  }

  async #dialAny(events: RpcEvents): Promise<RpcConnection> {
    try {
      return await this.#dialOnce(events);
    } catch (error) {
      if (!this.#endpoint.startsDaemon) throw dialAdvice(this.#endpoint, error);
    }
    try {
      await startSessionDaemon();
      return await this.#dialOnce(events);
    } catch (error) {
      throw dialAdvice(this.#endpoint, error);
    }
  }

  async #dialOnce(events: RpcEvents): Promise<RpcConnection> {
    let first: unknown;
    for (const path of this.#endpoint.sockets) {
      try {
        return await RpcConnection.dial(path, events);
      } catch (error) {
        first ??= error;
      }
    }
    throw first;
  }

  async #greet(libvirt: Libvirt): Promise<void> {
    const auth = await libvirt.authTypes();
    if (auth.length > 0 && !auth.includes(AUTH_NONE)) {
      throw new DriverError(
        "HypervisorUnavailable",
        'libvirt wants a password or polkit: run the agent as root, or set auth_unix_rw = "none" in libvirtd.conf',
      );
    }
    await libvirt.open(this.#endpoint.uri).catch((error) => {
      throw isLibvirtError(error, VIR_ERR.NO_CONNECT) ? driverAdvice(this.#endpoint, error) : error;
    });
    await libvirt.startKeepalive();
    await libvirt.watchLifecycle();
  }

  #down(reason: string): void {
    const wasUp = this.#up !== undefined;
    this.#up = undefined;
    if (this.#closed || !wasUp) return;
    this.#lost = true;
    this.#events.log("libvirt.lost", { reason });
    this.#scheduleRedial();
  }

  #scheduleRedial(): void {
    if (this.#closed) return;
    const ceiling = Math.min(REDIAL_CAP_MS, REDIAL_BASE_MS * 2 ** this.#attempt++);
    // Half fixed, half random, so that many agents on one host do not dial in step.
    const pause = ceiling / 2 + (Math.random() * ceiling) / 2;
    clearTimeout(this.#redial);
    this.#redial = setTimeout(() => this.get().catch(() => {}), pause).unref();
  }
}
