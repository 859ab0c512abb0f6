/** Whether libvirt answers, guests have KVM, and QEMU's user can reach what the agent keeps for it. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { AgentConfig } from "../config.ts";
import { type HostCapabilities, parseCapabilities, type QemuUser } from "../drivers/libvirt/capabilities.ts";
import { parseConnectionUri } from "../drivers/libvirt/endpoint.ts";
import { toDriverError } from "../drivers/libvirt/errors.ts";
import { Link } from "../drivers/libvirt/link.ts";
import { kvmUsable, passable } from "../drivers/libvirt/reach.ts";
import { existing } from "./disk.ts";
import type { Finding } from "./finding.ts";
import { checkKvm, readCpu } from "./kvm.ts";

export async function checkLibvirt(options: AgentConfig["libvirt"], stateDir: string): Promise<Finding[]> {
  const uri = options.connection_uri;
  let host: HostCapabilities;
  let libvirt: Finding;
  try {
    const found = await look(uri);
    host = found.host;
    libvirt = { check: "libvirt", state: "ok", says: `${uri.split("?")[0]} answers: ${found.version}` };
  } catch (error) {
    const { message } = toDriverError(error);
    // What comes after it is advice too, for a log that has no place for commands.
    const says = message.split(/[;:] /)[0] ?? message;
    return [{ check: "libvirt", state: "failed", says: `${uri}: ${says}`, mend: adviceFor(uri, says) }];
  }
  // What is not QEMU has no KVM, and no user of its own.
  if (!uri.startsWith("qemu")) return [libvirt];
  const usable = await kvmUsable(host.qemuUser);
  const facts = { device: existsSync("/dev/kvm"), usable, listed: host.kvm, cpu: readCpu() };
  return [
    libvirt,
    checkKvm({ ...facts, user: host.qemuUser, virtType: options.virt_type }),
    await checkReach(stateDir, host.qemuUser),
  ];
}

async function look(uri: string): Promise<{ host: HostCapabilities; version: string }> {
  const link = new Link(parseConnectionUri(uri), { lifecycle: () => {}, restored: () => {}, log: () => {} });
  try {
    const libvirt = await link.get();
    const [xml, type, version] = [await libvirt.capabilities(), await libvirt.type(), await libvirt.version()];
    const dotted = [version / 1_000_000, (version / 1000) % 1000, version % 1000].map(Math.floor).join(".");
    return { host: parseCapabilities(xml), version: `${type} ${dotted}` };
  } finally {
    link.close();
  }
}

function adviceFor(uri: string, says: string): string {
  if (says.startsWith("connection_uri")) return "set connection_uri in agent.toml, or give --connection-uri";
  if (/may not use libvirt|wants a password|refused the agent/.test(says)) {
    return "sudo edgenova-agent check, and run the agent as root too";
  }
  if (uri.includes("session")) return "apt-get install libvirt-daemon-system";
  return existsSync("/usr/sbin/libvirtd")
    ? "systemctl enable --now libvirtd"
    : "apt-get install libvirt-daemon-system && systemctl enable --now libvirtd";
}

/** The state directory itself and what is in it get their modes when the agent starts; those above it are not ours. */
async function checkReach(stateDir: string, user: QemuUser | null): Promise<Finding> {
  const check = "files";
  if (user === null) return { check, state: "ok", says: "QEMU runs as this user, and reads what the agent writes" };
  if (process.geteuid?.() !== 0) {
    const says = "this libvirt runs QEMU as another user, whose screens only root can open";
    return { check, state: "failed", says, mend: "run the agent as root, or use --connection-uri qemu:///session" };
  }
  const closed = await firstClosed(existing(dirname(stateDir)), user);
  if (closed === null) return { check, state: "ok", says: `QEMU's user (uid ${user.uid}) can pass to ${stateDir}` };
  return {
    check,
    state: "failed",
    says: `QEMU's user (uid ${user.uid}) may not pass ${closed}, which is above the state directory`,
    mend: `chmod o+x ${closed}, or give the agent another --state (as /var/lib/edgenova-agent)`,
  };
}

/** The topmost folder on the way to `folder` that the user may not enter. */
async function firstClosed(folder: string, user: QemuUser): Promise<string | null> {
  const above = dirname(folder) === folder ? null : await firstClosed(dirname(folder), user);
  if (above !== null) return above;
  return (await passable(folder, user)) ? null : folder;
}
