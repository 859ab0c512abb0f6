/** Whether guests have the machine's own processor (KVM) or an emulated one (TCG), and why. */
import { readFileSync } from "node:fs";
import type { AgentConfig } from "../config.ts";
import type { QemuUser } from "../drivers/libvirt/capabilities.ts";
import type { Finding } from "./finding.ts";

/** How the processor calls its virtualisation; null when it shows none. */
export type Cpu = "vmx" | "svm" | null;

export type KvmFacts = {
  /** Whether there is a /dev/kvm. */
  device: boolean;
  /** Whether QEMU's user may open it. */
  usable: boolean;
  /** Whether libvirt says that QEMU has it. */
  listed: boolean;
  cpu: Cpu;
  /** null is a QEMU that runs as this user. */
  user: QemuUser | null;
  virtType: AgentConfig["libvirt"]["virt_type"];
};

export function readCpu(): Cpu {
  try {
    return cpuOf(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return null;
  }
}

/** Of /proc/cpuinfo. */
export function cpuOf(cpuinfo: string): Cpu {
  const flag = /^flags\s*:.*\b(vmx|svm)\b/m.exec(cpuinfo)?.[1];
  return flag === "vmx" || flag === "svm" ? flag : null;
}

export function checkKvm(facts: KvmFacts): Finding {
  const check = "kvm";
  const { device, usable, listed, virtType } = facts;
  if (virtType === "qemu")
    return { check, state: "ok", says: "not asked for: virt_type is qemu, and guests are emulated" };
  if (device && usable && listed) return { check, state: "ok", says: "guests run on KVM" };
  const { why, mend } = reason(facts);
  if (virtType === "kvm") return { check, state: "failed", says: `${why}, and virt_type is kvm`, mend };
  return { check, state: "warning", says: `${why}: guests are emulated (TCG), and slow`, mend };
}

function reason({ device, usable, cpu, user }: KvmFacts): { why: string; mend: string } {
  if (!device && cpu === null) {
    return {
      why: "no KVM: this machine's processor shows no virtualisation",
      mend: "switch it on in the firmware (VT-x, AMD-V); in a VM, nested virtualisation on its host",
    };
  }
  if (!device)
    return { why: "no /dev/kvm: the module is not loaded", mend: `modprobe kvm_${cpu === "svm" ? "amd" : "intel"}` };
  if (!usable) {
    const name = user === null ? '"$USER"' : `"$(id -nu ${user.uid})"`;
    const who = user === null ? "this user" : `QEMU's user (uid ${user.uid})`;
    return { why: `${who} may not open /dev/kvm`, mend: `usermod -aG kvm ${name}, then restart libvirtd` };
  }
  return {
    why: "/dev/kvm is there, and libvirt lists no KVM",
    mend: "virt-host-validate qemu; systemctl restart libvirtd",
  };
}
