/** The least that is a driver: guests are names, and every guest's screen is the bench's stand-in. */

import { TinyDriver } from "../node/agent-tiny-driver.ts";

export class BenchDriver extends TinyDriver {
  /** @param path the UNIX socket of the screen that all guests have */
  constructor(path: string) {
    super();
    const host = { hypervisor_hostname: "bench", hypervisor_type: "bench", hypervisor_version: 1 };
    this.inventory = { ...host, vcpus: 1000, memory_mb: 1_000_000, local_gb: 100_000 };
    this.vnc = { transport: "unix", path };
  }
}
