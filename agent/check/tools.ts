/** Whether the programs are there that the libvirt driver runs, or has libvirt run. */
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import type { Finding } from "./finding.ts";

/** `any`: one of them is enough. `lacks`: what does not work without; null is that nothing does. */
type Tool = { any: readonly string[]; apt: string; lacks: string | null };
const TOOLS: readonly Tool[] = [
  { any: ["qemu-system-x86_64", "qemu-kvm"], apt: "qemu-system-x86", lacks: null },
  { any: ["qemu-img"], apt: "qemu-utils", lacks: null },
  { any: ["prlimit"], apt: "util-linux", lacks: null },
  { any: ["setpriv"], apt: "util-linux", lacks: null },
  { any: ["genisoimage", "xorrisofs", "mkisofs"], apt: "genisoimage", lacks: "config drives" },
  { any: ["mkfs.ext4"], apt: "e2fsprogs", lacks: "a file system on ephemeral disks" },
  { any: ["mkswap"], apt: "util-linux", lacks: "a swap disk that is ready" },
];
/** Where Debian has some of them, which is on the PATH of root alone. */
const ADMIN_PATHS = "/usr/sbin:/sbin:/usr/libexec";

export function isThere(program: string): boolean {
  return `${process.env.PATH ?? ""}:${ADMIN_PATHS}`.split(":").some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export function checkTools(there: (program: string) => boolean = isThere): Finding {
  const check = "tools";
  const missing = TOOLS.filter(({ any }) => !any.some((program) => there(program)));
  if (missing.length === 0) return { check, state: "ok", says: "QEMU, qemu-img and what makes disks are installed" };
  const mend = `apt-get install ${[...new Set(missing.map(({ apt }) => apt))].join(" ")}`;
  const says = missing
    .map(({ any, lacks }) => `no ${any[0]}${lacks === null ? "" : ` (guests lack ${lacks})`}`)
    .join(", ");
  return { check, state: missing.some(({ lacks }) => lacks === null) ? "failed" : "warning", says, mend };
}
