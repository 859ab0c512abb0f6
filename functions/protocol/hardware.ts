/**
 * What a guest's hardware is to be, where its image or its flavor says so; what is absent is its host's to choose.
 * The values are Nova's (nova/objects/fields.py); a driver refuses those that its hypervisor has not.
 */
import { z } from "zod";

export const DISK_BUSES = ["virtio", "scsi", "sata", "ide", "usb", "fdc", "xen", "lxc", "uml"] as const;
export const SCSI_MODELS = [
  "auto",
  "buslogic",
  "ibmvscsi",
  "lsilogic",
  "lsisas1068",
  "lsisas1078",
  "virtio-scsi",
  "vmpvscsi",
] as const;
export const VIF_MODELS = [
  "virtio",
  "e1000",
  "e1000e",
  "igb",
  "ne2k_pci",
  "pcnet",
  "rtl8139",
  "vmxnet3",
  "netfront",
  "lan9118",
  "spapr-vlan",
] as const;
export const VIDEO_MODELS = ["vga", "virtio", "qxl", "cirrus", "bochs", "none", "gop", "vmvga", "xen"] as const;
export const FIRMWARE_TYPES = ["bios", "uefi"] as const;
export const INPUT_BUSES = ["usb", "virtio"] as const;
export const POINTER_MODELS = ["usbtablet"] as const;
export const WATCHDOG_ACTIONS = ["none", "pause", "poweroff", "reset", "disabled"] as const;

/** A machine's or a user's name, which goes to the hypervisor as it is. */
export const MACHINE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const USER = /^[A-Za-z0-9._][A-Za-z0-9._ @\\-]{0,63}$/;

/** libvirt's serial ports of a PC. */
export const MAX_SERIAL_PORTS = 4;
const count = z.int().min(1).max(65_536);

/**
 * How much of its host a guest may have, by the names of the flavor's `quota:`. Rates of disks are per second; of
 * interfaces averages and peaks are KiB a second, bursts KiB.
 */
export const LIMITS = [
  "cpu_shares",
  "cpu_period",
  "cpu_quota",
  "disk_read_bytes_sec",
  "disk_read_iops_sec",
  "disk_write_bytes_sec",
  "disk_write_iops_sec",
  "disk_total_bytes_sec",
  "disk_total_iops_sec",
  "vif_inbound_average",
  "vif_inbound_peak",
  "vif_inbound_burst",
  "vif_outbound_average",
  "vif_outbound_peak",
  "vif_outbound_burst",
] as const;
export type Limit = (typeof LIMITS)[number];
/** The most that a limit can be. */
export const MAX_LIMIT = Number.MAX_SAFE_INTEGER;
const limit = z.int().min(0).max(MAX_LIMIT);
const limits = z.partialRecord(z.enum(LIMITS), limit);
export type Limits = z.infer<typeof limits>;

export const hardware = z.object({
  machine_type: z.string().regex(MACHINE).optional(),
  firmware_type: z.enum(FIRMWARE_TYPES).optional(),
  secure_boot: z.enum(["required", "optional"]).optional(),
  disk_bus: z.enum(DISK_BUSES).optional(),
  cdrom_bus: z.enum(DISK_BUSES).optional(),
  scsi_model: z.enum(SCSI_MODELS).optional(),
  vif_model: z.enum(VIF_MODELS).optional(),
  video_model: z.enum(VIDEO_MODELS).optional(),
  /** MiB. */
  video_ram: z.int().min(1).max(65_536).optional(),
  input_bus: z.enum(INPUT_BUSES).optional(),
  pointer_model: z.enum(POINTER_MODELS).optional(),
  boot_menu: z.boolean().optional(),
  watchdog_action: z.enum(WATCHDOG_ACTIONS).optional(),
  serial_port_count: z.int().min(0).max(MAX_SERIAL_PORTS).optional(),
  /** null: the guest is to have no source of chance. `rate_bytes` in each `rate_period` milliseconds. */
  rng: z.object({ rate_bytes: limit.optional(), rate_period: limit.optional() }).nullable().optional(),
  cpu_topology: z.object({ sockets: count, cores: count, threads: count }).optional(),
  hide_hypervisor_id: z.boolean().optional(),
  /** The guest's system reckons in local time, and is helped by what QEMU has of Hyper-V. */
  windows: z.boolean().optional(),
  /** Who in the guest gets the administrator's password. */
  admin_user: z.string().regex(USER).optional(),
  /** A snapshot that finds the guest's file systems busy is to fail. */
  require_quiesce: z.boolean().optional(),
  limits: limits.optional(),
});
export type Hardware = z.infer<typeof hardware>;
