/** A guest's devices beside its disks and interfaces (nova/virt/libvirt/driver.py: _guest_add_*). Pure. */
import type { Hardware } from "../../../functions/protocol/hardware.ts";
import { DriverError } from "../driver.ts";
import type { Bus } from "./disk-xml.ts";
import { choose, isXen, type VirtType } from "./hypervisor.ts";
import { escapeXml } from "./xml.ts";

/** The virtio port that the guest's agent listens on. */
export const GUEST_AGENT = "org.qemu.guest_agent.0";

const KIB_PER_MIB = 1024;

export type DevicePlan = {
  virtType: VirtType;
  consoleLog: string;
  guestAgent: boolean;
  buses: ReadonlySet<Bus>;
};

export function devicesXml(plan: DevicePlan, hardware: Hardware): string {
  const screen = [graphics(plan), video(plan, hardware), ...serials(plan, hardware)];
  if (!isXen(plan.virtType)) {
    return [controllers(plan, hardware), inputs(hardware), ...screen, agent(plan), watchdog(hardware), rng(hardware)]
      .concat("<memballoon model='virtio'/>")
      .filter((it) => it !== "")
      .join("\n    ");
  }
  const missing = plan.guestAgent
    ? "hw_qemu_guest_agent"
    : (hardware.watchdog_action ?? "disabled") !== "disabled" && "hw_watchdog_action";
  if (missing) throw new DriverError("NotSupported", `${missing} is not to be had on this hypervisor (xen)`);
  return ["<input type='tablet' bus='usb'/>", ...screen].join("\n    ");
}

function controllers({ buses }: DevicePlan, { scsi_model = "virtio-scsi" }: Hardware): string {
  const model = scsi_model === "auto" ? "" : ` model='${scsi_model}'`;
  const scsi = buses.has("scsi") ? `<controller type='scsi' index='0'${model}/>` : "";
  return `<controller type='usb' model='qemu-xhci'/>${scsi}`;
}

/** A tablet, as a mouse would not stand where the viewer's does. */
function inputs({ input_bus = "usb" }: Hardware): string {
  return `<input type='tablet' bus='${input_bus}'/>
    <input type='keyboard' bus='${input_bus}'/>`;
}

/**
 * libvirt makes the socket's path itself, in the domain's own folder. That folder belongs to QEMU's user, is named in its
 * AppArmor profile and goes with the guest; a folder of ours would have to be made all of that. Xen has no such socket.
 */
function graphics({ virtType }: DevicePlan): string {
  if (isXen(virtType))
    return "<graphics type='vnc' autoport='yes'><listen type='address' address='127.0.0.1'/></graphics>";
  return "<graphics type='vnc'><listen type='socket'/></graphics>";
}

function video({ virtType }: DevicePlan, { video_model, video_ram }: Hardware): string {
  const model = choose(virtType, "video_model", video_model);
  const ram = video_ram === undefined ? "" : ` vram='${video_ram * KIB_PER_MIB}'`;
  return `<video><model type='${model}'${ram}/></video>`;
}

/** What the guest writes to the first is kept. */
function serials({ consoleLog }: DevicePlan, { serial_port_count = 1 }: Hardware): string[] {
  return Array.from({ length: serial_port_count }, (_, port) =>
    port === 0
      ? `<serial type='pty'><log file='${escapeXml(consoleLog)}' append='off'/></serial>`
      : `<serial type='pty'><target port='${port}'/></serial>`,
  );
}

function agent({ guestAgent }: DevicePlan): string {
  return guestAgent ? `<channel type='unix'><target type='virtio' name='${GUEST_AGENT}'/></channel>` : "";
}

function watchdog({ watchdog_action: action = "disabled" }: Hardware): string {
  return action === "disabled" ? "" : `<watchdog model='i6300esb' action='${action}'/>`;
}

function rng({ rng: asked }: Hardware): string {
  if (asked === null) return "";
  const period = asked?.rate_period ? ` period='${asked.rate_period}'` : "";
  const rate = asked?.rate_bytes ? `<rate bytes='${asked.rate_bytes}'${period}/>` : "";
  return `<rng model='virtio'>${rate}<backend model='random'>/dev/urandom</backend></rng>`;
}
