/** What becomes of a guest's hardware in libvirt's description of it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { type DomainPlan, domainXml } from "../../agent/drivers/libvirt/domain-xml.ts";
import { macOf } from "../../agent/drivers/libvirt/interface-xml.ts";
import { byMac } from "../../agent/drivers/libvirt/interfaces.ts";
import { rescueXml } from "../../agent/drivers/libvirt/rescue-xml.ts";
import { readElements } from "../../agent/drivers/libvirt/xml.ts";
import { guestInterface } from "../../functions/protocol/guest.ts";
import type { Hardware } from "../../functions/protocol/hardware.ts";

const uuid = "6f1c2a3b-0000-4000-8000-000000000001";
const OVERLAY = { kind: "disk", path: "/s/disk", base: { path: "/i/base", format: "raw" } } as const;

function planned(hardware: Hardware, change: Partial<DomainPlan> = {}, toml = ""): DomainPlan {
  const { libvirt } = parseConfig(`[libvirt]\n${toml}`);
  const spec = {
    ...{ display_name: "web", instance_name: "instance-1", project_id: "demo", vcpus: 2, memory_mb: 512, disk_gb: 1 },
    ...{ ephemerals: [], swap_mb: 0, metadata: {}, config_drive: null, hardware },
    image: { id: uuid, disk_format: "qcow2", size: 1, sha512: "0".repeat(128) } as const,
  };
  const files = { disks: [OVERLAY], emptyDisks: [], configDrive: null, consoleLog: "/s/log", nvram: "/s/nvram.fd" };
  const host = { machine: "q35", cpu: libvirt, network: libvirt.network, relabels: false };
  return { uuid, spec, virtType: "qemu", ...files, ...host, ...change };
}
const xml = (...of: Parameters<typeof planned>) => domainXml(planned(...of));
/** The attributes and the text of each element at `path` below the domain. */
const at = (text: string, path: string) =>
  readElements(text)
    .filter((it) => it.path === `domain/${path}`)
    .map((it) => (it.text === "" ? it.attributes : { ...it.attributes, text: it.text }));

describe("a property of the image, or an extra spec", () => {
  it.each<[Hardware, string, object[]]>([
    [{ machine_type: "pc" }, "os/type", [{ arch: "x86_64", machine: "pc", text: "hvm" }]],
    [{ boot_menu: true }, "os/bootmenu", [{ enable: "yes" }]],
    [{ firmware_type: "uefi" }, "os/firmware/feature", [{ enabled: "no", name: "secure-boot" }]],
    [{ firmware_type: "uefi" }, "os/nvram", [{ text: "/s/nvram.fd" }]],
    [{ firmware_type: "bios" }, "os/nvram", []],
    [{ firmware_type: "uefi", secure_boot: "required" }, "features/smm", [{ state: "on" }]],
    [{ firmware_type: "uefi", secure_boot: "optional", machine_type: "pc" }, "features/smm", []],
    [
      { disk_bus: "scsi" },
      "devices/controller",
      [
        { type: "usb", model: "qemu-xhci" },
        { type: "scsi", index: "0", model: "virtio-scsi" },
      ],
    ],
    [
      { disk_bus: "scsi", scsi_model: "lsilogic" },
      "devices/controller",
      [
        { type: "usb", model: "qemu-xhci" },
        { type: "scsi", index: "0", model: "lsilogic" },
      ],
    ],
    [{ disk_bus: "usb" }, "devices/disk/target", [{ dev: "sda", bus: "usb" }]],
    [{ video_model: "none" }, "devices/video/model", [{ type: "none" }]],
    [{ video_model: "qxl", video_ram: 2 }, "devices/video/model", [{ type: "qxl", vram: "2048" }]],
    [{ rng: null }, "devices/rng", []],
    [{ rng: { rate_bytes: 9, rate_period: 5 } }, "devices/rng/rate", [{ bytes: "9", period: "5" }]],
    [
      { input_bus: "virtio" },
      "devices/input",
      [
        { type: "tablet", bus: "virtio" },
        { type: "keyboard", bus: "virtio" },
      ],
    ],
    [{ watchdog_action: "poweroff" }, "devices/watchdog", [{ model: "i6300esb", action: "poweroff" }]],
    [{ watchdog_action: "disabled" }, "devices/watchdog", []],
    [{ serial_port_count: 2 }, "devices/serial/target", [{ port: "1" }]],
    [{ serial_port_count: 0 }, "devices/serial", []],
    [{ windows: true }, "clock", [{ offset: "localtime" }]],
    [{ windows: true }, "metadata/edgenova:guest/edgenova:admin_user", [{ text: "Administrator" }]],
    [{ admin_user: "me" }, "metadata/edgenova:guest/edgenova:admin_user", [{ text: "me" }]],
    [{ require_quiesce: true }, "metadata/edgenova:guest/edgenova:require_quiesce", [{}]],
    [
      { cpu_topology: { sockets: 1, cores: 2, threads: 1 } },
      "cpu/topology",
      [{ sockets: "1", cores: "2", threads: "1" }],
    ],
    [{ limits: { cpu_shares: 9, cpu_quota: 0 } }, "cputune/shares", [{ text: "9" }]],
    [{ limits: { cpu_shares: 9, cpu_quota: 0 } }, "cputune/quota", []],
    [{ limits: { disk_read_bytes_sec: 7 } }, "devices/disk/iotune/read_bytes_sec", [{ text: "7" }]],
  ])("%j", (hardware, path, expected) => {
    expect(at(xml(hardware), path)).toEqual(expected);
  });

  it("says what a hypervisor has not", () => {
    expect(() => xml({ disk_bus: "fdc" })).toThrow("hw_disk_bus=fdc is not to be had on this hypervisor (qemu)");
    expect(() => xml({ vif_model: "netfront" }, {}, "network = 'user'")).toThrow("hw_vif_model=netfront");
    expect(() => xml({ video_model: "gop" })).toThrow("hw_video_model=gop");
    expect(() => xml({ watchdog_action: "reset" }, { virtType: "xen" })).toThrow("hw_watchdog_action");
  });

  it("is none of KVM's under TCG", () => {
    const hidden = { hide_hypervisor_id: true, windows: true };
    expect(at(xml(hidden, { virtType: "kvm" }), "features/kvm/hidden")).toEqual([{ state: "on" }]);
    expect(at(xml(hidden, { virtType: "kvm" }), "features/hyperv/relaxed")).toEqual([{ state: "on" }]);
    expect(xml(hidden)).not.toMatch(/<kvm>|<hyperv>/);
  });
});

describe("disks", () => {
  const targets = (text: string) => at(text, "devices/disk/target");
  const drive = { configDrive: "/s/disk.config", emptyDisks: ["/s/disk.swap"] };

  it("share their letters by bus, and leave the first CD's to a CD", () => {
    expect(targets(xml({ disk_bus: "sata" }, drive)).map((it) => Object.values(it).join())).toEqual([
      "sda,sata",
      "sdb,sata",
      "sdc,sata",
    ]);
    expect(targets(xml({ machine_type: "pc" }, drive)).map((it) => Object.values(it).join())).toEqual([
      "vda,virtio",
      "vdb,virtio",
      "hdb,ide",
    ]);
    expect(targets(xml({ cdrom_bus: "scsi" }, drive)).at(-1)).toEqual({ dev: "sdb", bus: "scsi" });
  });

  it("make room for a rescue on their own bus, with the same limits", () => {
    const hardware: Hardware = { disk_bus: "scsi", limits: { disk_total_iops_sec: 5 } };
    const rescued = rescueXml(xml(hardware, drive), {
      disk: { ...OVERLAY, path: "/s/disk.rescue" },
      instead: null,
      relabels: false,
    });
    expect(targets(rescued)).toEqual([
      { dev: "sda", bus: "scsi" },
      { dev: "sdb", bus: "scsi" },
      { dev: "sdc", bus: "scsi" },
      { dev: "sdd", bus: "sata" },
    ]);
    expect(at(rescued, "devices/disk/iotune/total_iops_sec")).toHaveLength(3);
  });
});

describe("[libvirt]", () => {
  it.each([
    ["", "", []],
    ["network = 'user'", "interface", [{ type: "user" }]],
    ["network = 'network:default'", "interface/source", [{ network: "default" }]],
    ["network = 'bridge:br0'", "interface/source", [{ bridge: "br0" }]],
  ])("%s is the guest's interface", (toml, path, expected) => {
    const text = xml({}, {}, toml);
    expect(at(text, `devices/${path || "interface"}`)).toEqual(expected);
    if (expected.length > 0) expect(at(text, "devices/interface/mac")).toEqual([{ address: macOf(uuid) }]);
  });

  it("limits an interface that libvirt can limit, in directions that have an average", () => {
    const limits = { vif_inbound_average: 1, vif_inbound_burst: 2, vif_outbound_peak: 3 };
    expect(at(xml({ limits }, {}, "network = 'bridge:b'"), "devices/interface/bandwidth/inbound")).toEqual([
      { average: "1", burst: "2" },
    ]);
    expect(xml({ limits }, {}, "network = 'bridge:b'")).not.toContain("<outbound");
    expect(xml({ limits }, {}, "network = 'user'")).not.toContain("<bandwidth");
  });

  it.each([
    ["", "qemu", { mode: "maximum" }],
    ["", "kvm", { mode: "host-model" }],
    ["cpu_mode = 'host-passthrough'", "kvm", { mode: "host-passthrough" }],
    [
      "cpu_mode = 'custom'\ncpu_models = ['Haswell', 'Skylake-Client']",
      "kvm",
      { mode: "custom", match: "exact", check: "partial" },
    ],
  ] as const)("%s is the CPU's mode on %s", (toml, virtType, expected) => {
    expect(at(xml({}, { virtType }, toml), "cpu")).toEqual([expected]);
  });

  it("names a model and its flags", () => {
    const text = xml(
      {},
      {},
      "cpu_mode = 'custom'\ncpu_models = ['Haswell']\ncpu_model_extra_flags = ['PCID', '+ssbd', '-mtrr']",
    );
    expect(at(text, "cpu/model")).toEqual([{ fallback: "forbid", text: "Haswell" }]);
    expect(at(text, "cpu/feature").map((it) => Object.values(it).join())).toEqual([
      "require,pcid",
      "require,ssbd",
      "disable,mtrr",
    ]);
    expect(at(xml({}, {}, "cpu_mode = 'none'"), "cpu")).toEqual([]);
  });

  it.each([
    "network = 'br0'",
    "network = 'bridge:a b'",
    "network = 'bridge:toolongforlinux0'",
    "cpu_mode = 'custom'",
    "cpu_models = ['a']",
    "cpu_model_extra_flags = ['a b']",
    "hw_machine_type = ['q35']",
  ])("refuses %s", (toml) => {
    expect(() => parseConfig(`[libvirt]\n${toml}`)).toThrow("libvirt: ");
  });
});

describe("a guest of Xen", () => {
  it("has Xen's own disks and interface, and nothing that is QEMU's alone", () => {
    const text = xml({}, { virtType: "xen", configDrive: "/s/c" }, "network = 'bridge:xenbr0'");
    expect(at(text, "devices/disk/target")).toEqual([
      { dev: "xvda", bus: "xen" },
      { dev: "hdb", bus: "ide" },
    ]);
    expect(at(text, "devices/interface/model")).toEqual([{ type: "netfront" }]);
    expect(at(text, "os/type")).toEqual([{ arch: "x86_64", text: "hvm" }]);
    expect(at(text, "devices/graphics/listen")).toEqual([{ type: "address", address: "127.0.0.1" }]);
    expect(text).not.toMatch(/virtio|xhci|<rng|<cpu /);
  });
});

describe("addresses", () => {
  it("are those that are of use elsewhere, by MAC, however the guest words them", () => {
    const told = [
      { mac: null, addresses: ["127.0.0.1"] },
      {
        mac: "FA:00:00:00:00:01",
        addresses: ["10.0.2.15", "fe80::1", "169.254.0.1", "no address", "fec0::2", "10.0.2.15"],
      },
      { mac: "fa:00:00:00:00:02", addresses: ["fe80::2"] },
    ];
    expect([...byMac(told)]).toEqual([["fa:00:00:00:00:01", ["10.0.2.15", "fec0::2"]]]);
  });

  it("never pass what the protocol takes", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), { maxLength: 40 }), (addresses) => {
        const mac = macOf(uuid);
        for (const known of byMac([{ mac, addresses }]).values()) {
          expect(guestInterface.safeParse({ network: "n", mac, addresses: known }).success).toBe(true);
        }
      }),
    );
  });
});
