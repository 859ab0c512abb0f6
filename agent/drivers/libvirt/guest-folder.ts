/** The names in a guest's folder, most of them Nova's (nova/virt/libvirt/driver.py). */
export const DISK = "disk";
export const CONSOLE_LOG = "console.log";
export const CONFIG_DRIVE = "disk.config";
export const SWAP = "disk.swap";
export const ephemeralDisk = (index: number) => `disk.eph${index}`;
/** While the guest is rescued. */
export const RESCUE_DISK = "disk.rescue";
export const RESCUE_CONFIG_DRIVE = "disk.config.rescue";
/** The guest's description from before its rescue. */
export const UNRESCUE_XML = "unrescue.xml";
/** The variables of a guest's UEFI; libvirt makes the file. */
export const NVRAM = "nvram.fd";
/** There while the guest's file systems are frozen for a snapshot. */
export const FROZEN = "frozen";

const OWN_FILE = /^(disk|disk\.config|disk\.swap|disk\.eph\d{1,2}|nvram\.fd)$/;

/** Whether a file of that name is one of the disks that begin empty. */
export const isEmptyDisk = (name: string) => /^disk\.(swap|eph\d{1,2})$/.test(name);

/** Whether a file of that name goes with the guest to another host. */
export const movesAlong = (name: string) => OWN_FILE.test(name);
/**
 * There while the guest is on its way to another host, alive: without a domain, it has arrived there. It has that host's
 * name in it if the files stay where they are, on storage that both hosts see.
 */
export const LEAVING = "leaving";
/** The name of the host whose guest it is: see instances.ts. */
export const OWNER = "owner";
/** A word by which another host can tell that it sees this folder. */
export const PROBE = "probe";
/** QEMU's copy of the disk for a snapshot, until it is compressed. */
export const SCRATCH = "snapshot";

/** What is of a call, or of a rescue, and not of the guest. */
export const PASSING = [LEAVING, PROBE, FROZEN, SCRATCH, RESCUE_DISK, RESCUE_CONFIG_DRIVE, UNRESCUE_XML] as const;
