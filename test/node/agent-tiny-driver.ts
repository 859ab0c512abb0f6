/** The smallest driver that keeps the contract, with a switch for each thing a test wants to go wrong. */

import { type Driver, DriverError, type GuestInfo, type LifecycleListener } from "../../agent/drivers/driver.ts";
import type { Inventory, PowerState, VncAddress } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";

export class TinyDriver implements Driver {
  readonly guests = new Map<string, PowerState>();
  /** Every call that changes a guest, in order. */
  readonly done: string[] = [];
  inventory: Inventory = {
    hypervisor_hostname: "tiny",
    hypervisor_type: "tiny",
    hypervisor_version: 1,
    vcpus: 8,
    memory_mb: 8192,
    local_gb: 100,
  };
  vnc: VncAddress | null = null;
  /** Runs inside spawn, before the guest exists. */
  building: (uuid: string, signal: AbortSignal) => Promise<void> = async () => undefined;
  /** Runs inside powerOff, before it acts. */
  stopping: () => Promise<void> = async () => undefined;
  listing: () => Promise<void> = async () => undefined;
  readonly #listeners = new Set<LifecycleListener>();

  async init(): Promise<void> {}
  async close(): Promise<void> {}
  async getAvailableResource(): Promise<Inventory> {
    return this.inventory;
  }
  async listGuests(): Promise<GuestInfo[]> {
    const listed = [...this.guests].map(([uuid, power_state]) => ({ uuid, power_state }));
    await this.listing();
    return listed;
  }
  async getInfo(uuid: string): Promise<GuestInfo | null> {
    const power_state = this.guests.get(uuid);
    return power_state === undefined ? null : { uuid, power_state };
  }
  async spawn(uuid: string, _spec: GuestSpec, signal: AbortSignal): Promise<void> {
    this.done.push(`spawn ${uuid}`);
    await this.building(uuid, signal);
    this.guests.set(uuid, 1);
  }
  async destroy(uuid: string): Promise<void> {
    this.done.push(`destroy ${uuid}`);
    this.guests.delete(uuid);
  }
  async powerOn(uuid: string): Promise<void> {
    this.#change("power_on", uuid, 1);
  }
  async powerOff(uuid: string): Promise<void> {
    await this.stopping();
    this.#change("power_off", uuid, 4);
  }
  async reboot(uuid: string): Promise<void> {
    this.#change("reboot", uuid, 1);
  }
  async getVncConsole(): Promise<VncAddress> {
    if (this.vnc === null) throw new DriverError("ConsoleNotAvailable", "the guest has no screen");
    return this.vnc;
  }
  onLifecycle(listener: LifecycleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  /** Changes a guest from outside. */
  emit(guest: GuestInfo): void {
    if (guest.power_state === 0) this.guests.delete(guest.uuid);
    else this.guests.set(guest.uuid, guest.power_state);
    for (const listener of this.#listeners) listener(guest);
  }
  #change(what: string, uuid: string, power_state: PowerState): void {
    this.done.push(`${what} ${uuid}`);
    if (!this.guests.has(uuid)) throw new DriverError("InstanceNotFound", "no such guest");
    this.guests.set(uuid, power_state);
  }
}
