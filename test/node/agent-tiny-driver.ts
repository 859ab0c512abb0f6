/** The smallest driver that keeps the contract, with a switch for each thing a test wants to go wrong. */

import { writeFile } from "node:fs/promises";
import {
  type Driver,
  DriverError,
  type Grace,
  type GuestInfo,
  type GuestNetworks,
  type LifecycleListener,
  type RebuildOrder,
  type RescueOrder,
} from "../../agent/drivers/driver.ts";
import type { Inventory, PowerState, VncAddress } from "../../functions/protocol/guest.ts";
import type { Diagnostics, GuestSpec } from "../../functions/protocol/methods.ts";

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
  /** What every guest's disk holds. */
  disk: Uint8Array = new Uint8Array(512);
  /** Runs inside snapshot, before the file is there. */
  copying: (signal: AbortSignal) => Promise<void> = async () => undefined;
  printed = Buffer.alloc(0);
  diagnostics: Diagnostics | null = null;
  readonly passwords = new Map<string, string>();
  /** Runs inside spawn, rescue and rebuild, before they act. */
  building: (uuid: string, signal: AbortSignal) => Promise<void> = async () => undefined;
  /** Runs inside powerOff, before it acts. */
  stopping: (grace?: Grace) => Promise<void> = async () => undefined;
  listing: () => Promise<void> = async () => undefined;
  listNetworks?: () => Promise<GuestNetworks[]>;
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
  boot: string | null = "one";
  leftovers: string[] = [];
  async bootId(): Promise<string | null> {
    return this.boot;
  }
  async listLeftovers(): Promise<string[]> {
    return this.leftovers;
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
  async powerOff(uuid: string, grace?: Grace): Promise<void> {
    await this.stopping(grace);
    this.#change("power_off", uuid, 4);
  }
  async reboot(uuid: string): Promise<void> {
    this.#change("reboot", uuid, 1);
  }
  async pause(uuid: string): Promise<void> {
    this.#change("pause", uuid, 3);
  }
  async unpause(uuid: string): Promise<void> {
    this.#change("unpause", uuid, 1);
  }
  async suspend(uuid: string): Promise<void> {
    this.#change("suspend", uuid, 7);
  }
  async resume(uuid: string): Promise<void> {
    this.#change("resume", uuid, 1);
  }
  async rescue(uuid: string, _order: RescueOrder, signal: AbortSignal): Promise<void> {
    await this.building(uuid, signal);
    this.#change("rescue", uuid, 1);
  }
  async unrescue(uuid: string): Promise<void> {
    this.#change("unrescue", uuid, 1);
  }
  async rebuild(uuid: string, { start }: RebuildOrder, signal: AbortSignal): Promise<void> {
    this.done.push(`rebuild ${uuid}`);
    await this.building(uuid, signal);
    this.guests.set(uuid, start ? 1 : 4);
  }
  async getConsoleOutput(): Promise<Buffer> {
    return this.printed;
  }
  async getDiagnostics(): Promise<Diagnostics> {
    if (this.diagnostics === null) throw new DriverError("InstanceInvalidState", "the guest does not run");
    return this.diagnostics;
  }
  async setAdminPassword(uuid: string, password: string): Promise<void> {
    this.passwords.set(uuid, password);
  }
  async injectNmi(uuid: string): Promise<void> {
    this.done.push(`inject_nmi ${uuid}`);
  }
  async snapshot(uuid: string, path: string, signal: AbortSignal): Promise<{ disk_format: "raw" }> {
    if (!this.guests.has(uuid)) throw new DriverError("InstanceNotFound", "no such guest");
    await this.copying(signal);
    await writeFile(path, this.disk);
    return { disk_format: "raw" };
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
