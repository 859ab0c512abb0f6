/** The least that is a driver: guests are names, and every guest's screen is the bench's stand-in. */

import type { Driver, GuestInfo } from "../../agent/drivers/driver.ts";
import { type Inventory, POWER_STATE, type VncAddress } from "../../functions/protocol/guest.ts";

const INVENTORY: Inventory = {
  hypervisor_hostname: "bench",
  hypervisor_type: "bench",
  hypervisor_version: 1,
  vcpus: 1000,
  memory_mb: 1_000_000,
  local_gb: 100_000,
};

export class BenchDriver implements Driver {
  readonly #guests = new Map<string, GuestInfo>();
  readonly #screen: VncAddress;

  /** @param path the UNIX socket of the screen that all guests have */
  constructor(path: string) {
    this.#screen = { transport: "unix", path };
  }

  async init(): Promise<void> {}
  async close(): Promise<void> {}
  async getAvailableResource(): Promise<Inventory> {
    return INVENTORY;
  }
  async listGuests(): Promise<GuestInfo[]> {
    return [...this.#guests.values()];
  }
  async getInfo(uuid: string): Promise<GuestInfo | null> {
    return this.#guests.get(uuid) ?? null;
  }
  async spawn(uuid: string): Promise<void> {
    this.#guests.set(uuid, { uuid, power_state: POWER_STATE.RUNNING });
  }
  async destroy(uuid: string): Promise<void> {
    this.#guests.delete(uuid);
  }
  async powerOn(): Promise<void> {}
  async powerOff(): Promise<void> {}
  async reboot(): Promise<void> {}
  async getVncConsole(): Promise<VncAddress> {
    return this.#screen;
  }
  onLifecycle(): () => void {
    return () => undefined;
  }
}
