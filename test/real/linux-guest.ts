/**
 * A Linux that boots from memory in some seconds of TCG: Debian's cloud kernel, busybox, and the host's own qemu-ga.
 *
 * It takes an address by DHCP, mounts its first virtio disk, starts QEMU's agent, and says `READY` on its serial console;
 * a password that the agent sets, and a shutdown that it is asked for, it says there too.
 */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";

const BUSYBOX = "/bin/busybox";
const AGENT = "/usr/sbin/qemu-ga";
/** In the order that they are loaded. */
const MODULES = [
  ...["virtio/virtio_ring", "virtio/virtio", "virtio/virtio_pci_modern_dev", "virtio/virtio_pci_legacy_dev"],
  ...["virtio/virtio_pci", "net/net_failover", "net/virtio_net", "char/virtio_console", "block/virtio_blk"],
];

/** Where a kernel may be: the machine's own, or one that was only unpacked, as nothing boots it. */
const ROOTS = ["/", "/opt/guest-kernel"];

function kernel(): { image: string; modules: string } | null {
  for (const root of ROOTS) {
    const boot = join(root, "boot");
    for (const name of existsSync(boot) ? readdirSync(boot) : []) {
      if (!/^vmlinuz-.*cloud/.test(name)) continue;
      const modules = join(root, "lib/modules", name.slice("vmlinuz-".length), "kernel");
      if (existsSync(join(modules, "drivers/char/virtio_console.ko"))) return { image: join(boot, name), modules };
    }
  }
  return null;
}

/** What `needs` is to look for. */
export const LINUX_NEEDS = {
  paths: [BUSYBOX, AGENT, kernel()?.image ?? "/opt/guest-kernel/boot/vmlinuz-cloud-amd64"],
  apt: "busybox-static qemu-guest-agent linux-image-cloud-amd64",
};

const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /mnt /var/run /sbin /usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in ${MODULES.map((it) => basename(it)).join(" ")}; do
  [ $module = net_failover ] && insmod /modules/failover.ko
  insmod /modules/$module.ko
done
ip link set lo up; ip link set eth0 up
udhcpc -i eth0 -q -s /dhcp
mke2fs -F /dev/vda >/dev/null && mount /dev/vda /mnt
/qemu-ga -m virtio-serial -p $(ls /dev/vport*p1) -t /run -f /run/ga.pid -l /run/ga.log &
sleep 1
echo READY >/dev/ttyS0
while :; do sleep 60; done
`;
const DHCP = `#!/bin/busybox sh
[ "$1" = bound ] && ip addr add $ip/$mask dev $interface
`;
const SAYS = (what: string, then: string) => `#!/bin/busybox sh
${what} >/dev/ttyS0
${then}
`;

type File = { path: string; mode: number; bytes: Buffer };

/** The newc format of cpio (linux: Documentation/driver-api/early-userspace/buffer-format.rst). */
function cpio(files: readonly File[]): Buffer {
  const pad = (length: number) => Buffer.alloc((4 - (length % 4)) % 4);
  const entry = ({ path, mode, bytes }: File, inode: number) => {
    const name = Buffer.from(`${path}\0`);
    const head = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
    const header = `070701${head.map((it) => it.toString(16).padStart(8, "0")).join("")}`;
    return [Buffer.from(header), name, pad(header.length + name.length), bytes, pad(bytes.length)];
  };
  return Buffer.concat(
    [...files, { path: "TRAILER!!!", mode: 0, bytes: Buffer.alloc(0) }].flatMap((file, i) => entry(file, i + 1)),
  );
}

/** The libraries of a program, as they are to lie in the guest. */
async function libraries(program: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ldd", [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
}

/** The kernel's path, and an initramfs's bytes. */
export async function linuxGuest(): Promise<{ kernel: string; initrd: Buffer }> {
  const found = kernel();
  if (found === null) throw new Error("there is no kernel");
  const file = async (path: string, from: string) => ({
    path,
    mode: 0o100755,
    bytes: await readFile(await realpath(from)),
  });
  const script = (path: string, text: string) => ({ path, mode: 0o100755, bytes: Buffer.from(text) });
  const folder = (path: string) => ({ path, mode: 0o040755, bytes: Buffer.alloc(0) });
  const libs = await libraries(AGENT);
  const folders = ["bin", "sbin", "modules", "etc", "dev", ...new Set(libs.flatMap((it) => parents(it.slice(1))))];
  const modules = MODULES.map((it) => file(`modules/${basename(it)}.ko`, join(found.modules, `drivers/${it}.ko`)));
  const initrd = cpio([
    ...folders.map(folder),
    script("init", INIT),
    script("dhcp", DHCP),
    script("sbin/shutdown", SAYS('echo "SHUTDOWN BY AGENT"', "poweroff -f")),
    script("sbin/chpasswd", SAYS('read line; echo "PASSWORD $line"', "")),
    await file("bin/busybox", BUSYBOX),
    await file("qemu-ga", AGENT),
    await file("modules/failover.ko", join(found.modules, "net/core/failover.ko")),
    ...(await Promise.all([...modules, ...libs.map((it) => file(it.slice(1), it))])),
  ]);
  return { kernel: found.image, initrd };
}

function parents(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}
