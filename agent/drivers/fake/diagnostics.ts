/** What a fake guest uses of its host: made up of its size and of the time that it has run. Pure. */
import { POWER_STATE } from "../../../functions/protocol/guest.ts";
import type { Diagnostics } from "../../../functions/protocol/methods.ts";
import { DriverError } from "../driver.ts";
import { age } from "./guest-clock.ts";
import type { StoredGuest } from "./guest-store.ts";

/** An idle system: this share of each processor, so much memory, a log that grows. */
const UTILISATION_PERCENT = 2;
const IDLE_MEMORY_MB = 256;
const BOOT_READ_BYTES = 64 * 2 ** 20;
const WRITTEN_BYTES_PER_S = 512;
const BLOCK_BYTES = 4096;

export function diagnosticsOf(guest: StoredGuest, now: number): Diagnostics {
  const { spec, power_state, rescue } = guest;
  if (power_state !== POWER_STATE.RUNNING) throw new DriverError("InstanceInvalidState", "the guest does not run");
  const ms = age(guest, now);
  const uptime = Math.floor(ms / 1000);
  const written = uptime * WRITTEN_BYTES_PER_S;
  const disk = (read_bytes: number, write_bytes: number) => ({
    read_bytes,
    read_requests: Math.ceil(read_bytes / BLOCK_BYTES),
    write_bytes,
    write_requests: Math.ceil(write_bytes / BLOCK_BYTES),
    errors_count: 0,
  });
  const idle = (rescue === null ? 0 : 1) + spec.ephemerals.length + (spec.swap_mb === 0 ? 0 : 1);
  const disks = [disk(BOOT_READ_BYTES, written), ...Array.from({ length: idle }, () => disk(0, 0))];
  return {
    state: "running",
    driver: "fake",
    hypervisor: "fake",
    hypervisor_os: null,
    uptime,
    config_drive: guest.config_drive,
    num_cpus: spec.vcpus,
    num_nics: 0,
    num_disks: disks.length,
    cpu_details: Array.from({ length: spec.vcpus }, (_, id) => ({
      id,
      time: Math.floor((ms * 1_000_000 * UTILISATION_PERCENT) / 100),
      utilisation: UTILISATION_PERCENT,
    })),
    nic_details: [],
    disk_details: disks,
    memory_details: { maximum: spec.memory_mb, used: Math.min(IDLE_MEMORY_MB, spec.memory_mb) },
  };
}
