/**
 * From what an image and a flavor say of a guest's hardware to what its driver is told, by Nova's names and with Nova's
 * precedence (nova/objects/image_meta.py, nova/virt/hardware.py, nova/virt/libvirt/driver.py). Pure.
 */
import { z } from "zod";
import {
  DISK_BUSES,
  FIRMWARE_TYPES,
  type Hardware,
  INPUT_BUSES,
  LIMITS,
  type Limit,
  type Limits,
  MACHINE,
  MAX_LIMIT,
  MAX_SERIAL_PORTS,
  POINTER_MODELS,
  SCSI_MODELS,
  USER,
  VIDEO_MODELS,
  VIF_MODELS,
  WATCHDOG_ACTIONS,
} from "../protocol/hardware.ts";
import { err, ok, type Result } from "../result.ts";
import { cpuTopology } from "./cpu-topology.ts";

/** oslo_utils.strutils: TRUE_STRINGS, by which Nova reads a flag. */
export const isTrue = (value: string | undefined) => /^\s*(1|t|true|on|y|yes)\s*$/i.test(value ?? "");

const flag = z.string().transform(isTrue);
const whole = (least: number, most = MAX_LIMIT) =>
  z
    .string()
    .regex(/^\s*\d{1,16}\s*$/, "It is not a whole number.")
    .transform(Number)
    .pipe(z.int().min(least).max(most));
const policy = z.enum(["required", "optional", "disabled"]);

const PROPERTIES = z
  .object({
    hw_machine_type: z.string().regex(MACHINE, "It is not a machine's name."),
    hw_firmware_type: z.enum(FIRMWARE_TYPES),
    os_secure_boot: policy,
    hw_disk_bus: z.enum(DISK_BUSES),
    hw_cdrom_bus: z.enum(DISK_BUSES),
    hw_scsi_model: z.enum(SCSI_MODELS),
    hw_vif_model: z.enum(VIF_MODELS),
    hw_video_model: z.enum(VIDEO_MODELS),
    hw_video_ram: whole(1, 65_536),
    hw_rng_model: z.enum(["virtio"]),
    hw_input_bus: z.enum(INPUT_BUSES),
    hw_pointer_model: z.enum(POINTER_MODELS),
    hw_boot_menu: flag,
    hw_watchdog_action: z.enum(WATCHDOG_ACTIONS),
    hw_serial_port_count: whole(0, MAX_SERIAL_PORTS),
    hw_cpu_sockets: whole(1),
    hw_cpu_cores: whole(1),
    hw_cpu_threads: whole(1),
    hw_cpu_max_sockets: whole(1),
    hw_cpu_max_cores: whole(1),
    hw_cpu_max_threads: whole(1),
    img_hide_hypervisor_id: flag,
    os_type: z.string(),
    os_admin_user: z.string().regex(USER, "It is not a user's name."),
    os_require_quiesce: flag,
  })
  .partial();

const QUOTA = Object.fromEntries(LIMITS.map((name) => [`quota:${name}`, whole(0)])) as Record<
  `quota:${Limit}`,
  ReturnType<typeof whole>
>;

const SPECS = z
  .object({
    "os:secure_boot": policy,
    "hw_video:ram_max_mb": whole(0),
    "hw_rng:allowed": flag,
    "hw_rng:rate_bytes": whole(0),
    "hw_rng:rate_period": whole(0),
    "hw:boot_menu": flag,
    "hw:watchdog_action": z.enum(WATCHDOG_ACTIONS),
    "hw:serial_port_count": whole(0, MAX_SERIAL_PORTS),
    "hw:cpu_sockets": whole(1),
    "hw:cpu_cores": whole(1),
    "hw:cpu_threads": whole(1),
    "hw:cpu_max_sockets": whole(1),
    "hw:cpu_max_cores": whole(1),
    "hw:cpu_max_threads": whole(1),
    "hw:max_cpu_sockets": whole(1),
    "hw:max_cpu_cores": whole(1),
    "hw:max_cpu_threads": whole(1),
    "hw:hide_hypervisor_id": flag,
    hide_hypervisor_id: flag,
  })
  .extend(QUOTA)
  .partial();

type Properties = z.infer<typeof PROPERTIES>;
type Specs = z.infer<typeof SPECS>;

export type Sources = {
  properties: Record<string, string>;
  extra_specs: Record<string, string>;
  vcpus: number;
};

/** The hardware that is asked for, or what is wrong with it, as a sentence. */
export function hardwareOf({ properties, extra_specs, vcpus }: Sources): Result<Hardware, string> {
  const image = PROPERTIES.safeParse(properties);
  if (!image.success) return err(`Invalid image metadata. ${wrong(image.error, properties)}`);
  const flavor = SPECS.safeParse(extra_specs);
  if (!flavor.success) return err(`Invalid extra spec. ${wrong(flavor.error, extra_specs)}`);
  const [p, s] = [image.data, flavor.data];
  const topology = cpuTopology(
    vcpus,
    // Nova's code reads hw:cpu_max_*, and its API takes hw:max_cpu_*: a flavor may have either.
    (name) => s[`hw:cpu_${name}`] ?? s[`hw:${name.replace("max_", "max_cpu_")}` as "hw:max_cpu_cores"] ?? 0,
    (name) => p[`hw_cpu_${name}`] ?? 0,
  );
  const limits = limitsOf(s);
  const conflict = conflictOf(p, s, limits);
  if (conflict !== null) return err(conflict);
  if (!topology.ok) return topology;
  return ok({
    ...named(p),
    ...secureBoot(p, s),
    ...set("video_ram", s["hw_video:ram_max_mb"] ? p.hw_video_ram : undefined),
    ...set("boot_menu", s["hw:boot_menu"] ?? p.hw_boot_menu),
    ...set("watchdog_action", p.hw_watchdog_action ?? s["hw:watchdog_action"]),
    ...set("serial_port_count", p.hw_serial_port_count ?? s["hw:serial_port_count"]),
    ...set("rng", rngOf(s)),
    ...set("cpu_topology", topology.value ?? undefined),
    ...set("hide_hypervisor_id", hides(p, s) || undefined),
    ...set("windows", p.os_type === "windows" || undefined),
    ...set("limits", Object.keys(limits).length > 0 ? limits : undefined),
  });
}

/** What goes to the driver by the property's own name. */
function named(p: Properties): Hardware {
  return {
    ...set("machine_type", p.hw_machine_type),
    ...set("firmware_type", p.hw_firmware_type),
    ...set("disk_bus", p.hw_disk_bus),
    ...set("cdrom_bus", p.hw_cdrom_bus),
    ...set("scsi_model", p.hw_scsi_model),
    ...set("vif_model", p.hw_vif_model),
    ...set("video_model", p.hw_video_model),
    ...set("input_bus", p.hw_input_bus),
    ...set("pointer_model", p.hw_pointer_model),
    ...set("admin_user", p.os_admin_user),
    ...set("require_quiesce", p.os_require_quiesce || undefined),
  };
}

/** A field that is there only where it has a value: what is not said costs no byte in any record or frame. */
function set<K extends keyof Hardware>(key: K, value: Hardware[K] | undefined): Pick<Hardware, K> | object {
  return value === undefined ? {} : { [key]: value };
}

function secureBoot(p: Properties, s: Specs): Hardware {
  if (s["os:secure_boot"] === "required" || p.os_secure_boot === "required") return { secure_boot: "required" };
  const optional = p.os_secure_boot === "optional" && s["os:secure_boot"] !== "disabled";
  return optional ? { secure_boot: "optional" } : {};
}

function rngOf(s: Specs): Hardware["rng"] {
  if (s["hw_rng:allowed"] === false) return null;
  const rate_bytes = s["hw_rng:rate_bytes"];
  return rate_bytes ? { rate_bytes, rate_period: s["hw_rng:rate_period"] } : undefined;
}

const hides = (p: Properties, s: Specs) =>
  p.img_hide_hypervisor_id || s["hw:hide_hypervisor_id"] || s.hide_hypervisor_id;

function limitsOf(s: Specs): Limits {
  return Object.fromEntries(
    LIMITS.map((name) => [name, s[`quota:${name}`]]).filter(([, value]) => value !== undefined),
  );
}

/** What image and flavor cannot both be given. */
function conflictOf(p: Properties, s: Specs, limits: Limits): string | null {
  const memory = s["hw_video:ram_max_mb"] ?? 0;
  if ((p.hw_video_ram ?? 0) > memory) {
    return `The requested amount of video memory ${p.hw_video_ram} is higher than the maximum allowed by flavor ${memory}.`;
  }
  const ports = s["hw:serial_port_count"];
  if (ports !== undefined && (p.hw_serial_port_count ?? 0) > ports) {
    return "Forbidden to exceed flavor value of number of serial ports passed in image meta.";
  }
  const boots = [s["os:secure_boot"], p.os_secure_boot];
  if (boots.includes("required")) {
    if (boots.includes("disabled")) return "Secure boot is required and disabled, by image and flavor.";
    if (p.hw_firmware_type !== "uefi") return "Secure boot requires an image with hw_firmware_type=uefi.";
  }
  const both = ["bytes", "iops"].find((of) => {
    const one = (kind: string) => limits[`disk_${kind}_${of}_sec` as "disk_read_bytes_sec"];
    return one("total") && (one("read") || one("write"));
  });
  return both ? `quota:disk_total_${both}_sec cannot be set together with that of reads or writes.` : null;
}

/** The first that is wrong, with its value: both are the caller's own. */
function wrong({ issues: [issue] }: z.ZodError, values: Record<string, string>): string {
  const name = String(issue?.path[0]);
  return `Error: Field value ${String(values[name]).slice(0, 255)} is invalid for ${name}. ${issue?.message ?? ""}`;
}
