/** The names in a guest's folder, most of them Nova's (nova/virt/libvirt/driver.py). */
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
