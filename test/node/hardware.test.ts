/** From an image's properties and a flavor's extra specs to a guest's hardware (nova/objects/image_meta.py, nova/virt/hardware.py). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hardwareOf } from "../../functions/conductor/hardware.ts";
import { hardware } from "../../functions/protocol/hardware.ts";

const asked = (properties: Record<string, string>, extra_specs: Record<string, string> = {}, vcpus = 4) =>
  hardwareOf({ properties, extra_specs, vcpus });
const told = (...sources: Parameters<typeof asked>) => {
  const found = asked(...sources);
  return found.ok ? found.value : found.error;
};

describe("hardwareOf", () => {
  it("says nothing of what neither image nor flavor says", () => {
    expect(told({ os_distro: "debian", hw_qemu_guest_agent: "yes", mine: "x" }, { "hw:cpu_policy": "shared" })).toEqual(
      {},
    );
  });

  it.each([
    ["hw_machine_type", "pc-i440fx-7.2", { machine_type: "pc-i440fx-7.2" }],
    ["hw_firmware_type", "uefi", { firmware_type: "uefi" }],
    ["hw_disk_bus", "scsi", { disk_bus: "scsi" }],
    ["hw_cdrom_bus", "ide", { cdrom_bus: "ide" }],
    ["hw_scsi_model", "lsilogic", { scsi_model: "lsilogic" }],
    ["hw_vif_model", "e1000", { vif_model: "e1000" }],
    ["hw_video_model", "qxl", { video_model: "qxl" }],
    ["hw_input_bus", "virtio", { input_bus: "virtio" }],
    ["hw_pointer_model", "usbtablet", { pointer_model: "usbtablet" }],
    ["hw_boot_menu", "True", { boot_menu: true }],
    ["hw_watchdog_action", "reset", { watchdog_action: "reset" }],
    ["hw_serial_port_count", "2", { serial_port_count: 2 }],
    ["img_hide_hypervisor_id", "yes", { hide_hypervisor_id: true }],
    ["os_type", "windows", { windows: true }],
    ["os_admin_user", "debian", { admin_user: "debian" }],
    ["os_require_quiesce", "1", { require_quiesce: true }],
  ])("takes an image's %s = %s", (name, value, expected) => {
    expect(told({ [name]: value })).toEqual(expected);
  });

  it.each([
    ["hw_rng:allowed", "False", { rng: null }],
    ["hw_rng:rate_bytes", "10", { rng: { rate_bytes: 10 } }],
    ["hw:boot_menu", "yes", { boot_menu: true }],
    ["hw:watchdog_action", "pause", { watchdog_action: "pause" }],
    ["hide_hypervisor_id", "true", { hide_hypervisor_id: true }],
    ["quota:cpu_shares", "512", { limits: { cpu_shares: 512 } }],
    ["quota:disk_total_iops_sec", "100", { limits: { disk_total_iops_sec: 100 } }],
    ["quota:vif_outbound_peak", "7", { limits: { vif_outbound_peak: 7 } }],
    ["quota:memory_limit", "7", {}],
  ])("takes a flavor's %s = %s", (name, value, expected) => {
    expect(told({}, { [name]: value })).toEqual(expected);
  });

  it("lets the flavor or the image win, as Nova does", () => {
    expect(told({ hw_watchdog_action: "reset" }, { "hw:watchdog_action": "pause" })).toEqual({
      watchdog_action: "reset",
    });
    expect(told({ hw_boot_menu: "yes" }, { "hw:boot_menu": "no" })).toEqual({ boot_menu: false });
    expect(told({ hw_video_ram: "16" }, { "hw_video:ram_max_mb": "64" })).toEqual({ video_ram: 16 });
    const uefi = { hw_firmware_type: "uefi", os_secure_boot: "optional" };
    expect(told(uefi)).toMatchObject({ secure_boot: "optional" });
    expect(told(uefi, { "os:secure_boot": "required" })).toMatchObject({ secure_boot: "required" });
    expect(told(uefi, { "os:secure_boot": "disabled" })).toEqual({ firmware_type: "uefi" });
  });

  it.each<[string, Record<string, string>, Record<string, string>, string]>([
    ["a bus", { hw_disk_bus: "floppy" }, {}, "Field value floppy is invalid for hw_disk_bus."],
    ["a machine", { hw_machine_type: "a b" }, {}, "hw_machine_type"],
    ["a user", { os_admin_user: "a\nb" }, {}, "os_admin_user"],
    ["a count", { hw_serial_port_count: "many" }, {}, "hw_serial_port_count"],
    ["a flavor's count", {}, { "quota:cpu_shares": "x" }, "quota:cpu_shares"],
    [
      "video memory",
      { hw_video_ram: "65" },
      { "hw_video:ram_max_mb": "64" },
      "higher than the maximum allowed by flavor 64",
    ],
    ["video memory without a flavor's word", { hw_video_ram: "1" }, {}, "maximum allowed by flavor 0"],
    ["serial ports", { hw_serial_port_count: "3" }, { "hw:serial_port_count": "2" }, "exceed flavor value"],
    ["secure boot of a BIOS", { os_secure_boot: "required" }, {}, "hw_firmware_type=uefi"],
    ["secure boot", { os_secure_boot: "disabled" }, { "os:secure_boot": "required" }, "required and disabled"],
    [
      "both limits",
      {},
      { "quota:disk_total_bytes_sec": "1", "quota:disk_read_bytes_sec": "1" },
      "disk_total_bytes_sec",
    ],
    ["more cores than allowed", { hw_cpu_cores: "4" }, { "hw:cpu_max_cores": "2" }, "cores are more"],
    [
      "no topology",
      {},
      { "hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "1", "hw:max_cpu_threads": "1" },
      "No CPU topology",
    ],
  ])("refuses %s", (_, properties, extra_specs, why) => {
    expect(told(properties, extra_specs)).toContain(why);
  });

  it.each<[Record<string, string>, Record<string, string>, number[]]>([
    [{ hw_cpu_cores: "2" }, {}, [2, 2, 1]],
    [{ hw_cpu_max_sockets: "1" }, {}, [1, 4, 1]],
    [{ hw_cpu_threads: "2" }, { "hw:cpu_sockets": "1" }, [1, 2, 2]],
    [{ hw_cpu_sockets: "4" }, { "hw:cpu_sockets": "2" }, [2, 2, 1]],
    [{ hw_cpu_sockets: "3" }, {}, [4, 1, 1]],
  ])("arranges 4 CPUs by %j and %j", (properties, extra_specs, [sockets, cores, threads]) => {
    expect(told(properties, extra_specs)).toEqual({ cpu_topology: { sockets, cores, threads } });
  });

  it("gives the protocol nothing that it refuses, whatever is asked", () => {
    const names = [
      "hw_machine_type",
      "hw_disk_bus",
      "hw_cpu_cores",
      "os_admin_user",
      "hw_video_ram",
      "hw_serial_port_count",
    ];
    const specs = ["quota:cpu_shares", "hw_rng:rate_bytes", "hw_video:ram_max_mb", "hw:cpu_max_threads"];
    const value = fc.oneof(fc.string(), fc.constantFrom("1", "virtio", "99999999999999999", "4", "pc", "-1"));
    const of = (keys: string[]) => fc.dictionary(fc.constantFrom(...keys), value);
    fc.assert(
      fc.property(of(names), of(specs), (properties, extra_specs) => {
        const found = asked(properties, extra_specs);
        if (found.ok) expect(hardware.parse(found.value)).toEqual(found.value);
      }),
    );
  });
});
