/** The libvirt driver's documents: a domain as it is written, and the fields read of libvirt's answers. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { parseCapabilities } from "../../agent/drivers/libvirt/capabilities.ts";
import { type DomainPlan, domainXml } from "../../agent/drivers/libvirt/domain-xml.ts";
import { parseConnectionUri } from "../../agent/drivers/libvirt/endpoint.ts";
import { rescueXml } from "../../agent/drivers/libvirt/rescue-xml.ts";
import { vncOf } from "../../agent/drivers/libvirt/vnc-address.ts";
import { escapeXml, readElements } from "../../agent/drivers/libvirt/xml.ts";

const uuid = "6f1c2a3b-0000-4000-8000-000000000001";
const plan: DomainPlan = {
  uuid,
  spec: {
    display_name: "web",
    instance_name: "instance-00000001",
    project_id: "demo",
    vcpus: 2,
    memory_mb: 512,
    disk_gb: 1,
    ephemerals: [],
    swap_mb: 0,
    image: { id: uuid, disk_format: "qcow2", size: 1, sha512: "0".repeat(128) },
    metadata: {},
    config_drive: null,
  },
  virtType: "qemu",
  disks: [{ kind: "disk", path: "/s/disk", base: { path: "/i/base", format: "qcow2" } }],
  emptyDisks: [],
  configDrive: null,
  consoleLog: "/s/console.log",
  relabels: false,
  machine: "q35",
  nvram: "/s/nvram.fd",
  cpu: parseConfig("").libvirt,
  network: { kind: "none" },
};
const named = (display_name: string) => domainXml({ ...plan, spec: { ...plan.spec, display_name } });
const at = (xml: string, path: string) => readElements(xml).filter((it) => it.path === path);

describe("escapeXml", () => {
  it("keeps any text as text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const [read] = readElements(`<a b="${escapeXml(text)}">${escapeXml(text)}</a>`);
        const carried = text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
        expect(read?.attributes.b).toBe(carried);
        expect(read?.text).toBe(carried.trim());
      }),
    );
  });
});

describe("readElements", () => {
  it("knows where each element lies", () => {
    const xml = "<!-- <x> --><a b='c'>t<d/><e f='>'>u</e></a>";
    expect(readElements(xml).map((it) => xml.slice(it.start, it.end))).toEqual([
      "<a b='c'>t<d/><e f='>'>u</e></a>",
      "<d/>",
      "<e f='>'>u</e>",
    ]);
  });
});

describe("domainXml", () => {
  it("gives no name the power to add an element", () => {
    const hostile = `</title><devices><disk type='file'/></devices><title>"'&]]>\u0000\ud800`;
    const xml = named(hostile);
    expect(readElements(xml).map((it) => it.path)).toEqual(readElements(named("web")).map((it) => it.path));
    expect(at(xml, "domain/title")[0]?.text).toContain("</title><devices>");
  });

  it("writes a title on one line, which is all libvirt takes, and none when it is blank", () => {
    expect(at(named("a\nb\r\nc"), "domain/title")[0]?.text).toBe("a b c");
    expect(at(named(" \n"), "domain/title")).toEqual([]);
  });

  it("has the config drive as the last disk, read-only, and never boots from it", () => {
    const xml = domainXml({ ...plan, configDrive: "/s/disk.config" });
    const all = readElements(xml);
    const disks = all.filter((it) => it.path === "domain/devices/disk");
    const inLast = (name: string) => all.filter((it) => it.parent === disks.at(-1) && it.path.endsWith(`/${name}`));
    expect(disks.map((it) => it.attributes.device)).toEqual(["disk", "cdrom"]);
    expect(inLast("source")[0]?.attributes).toEqual({ file: "/s/disk.config" });
    expect(inLast("driver")[0]?.attributes.type).toBe("raw");
    expect(inLast("target")[0]?.attributes).toEqual({ dev: "sdb", bus: "sata" });
    expect([inLast("readonly").length, inLast("backingStore").length, inLast("boot").length]).toEqual([1, 1, 0]);
    expect(at(domainXml(plan), "domain/devices/disk")).toHaveLength(1);
  });

  it("has empty disks behind the guest's own, which are raw and boot nothing", () => {
    const emptyDisks = ["/s/disk.eph0", "/s/disk.swap"];
    const all = (change: Partial<DomainPlan>) => {
      const elements = readElements(domainXml({ ...plan, emptyDisks, ...change }));
      return elements
        .filter((it) => it.path === "domain/devices/disk")
        .map((it) => {
          const of = (name: string) =>
            elements.find(({ path, parent }) => parent === it && path.endsWith(`/${name}`))?.attributes;
          return [of("source")?.file, of("target")?.dev, of("driver")?.type, of("boot")?.order];
        });
    };
    expect(all({ configDrive: "/s/disk.config" })).toEqual([
      ["/s/disk", "vda", "qcow2", "1"],
      ["/s/disk.eph0", "vdb", "raw", undefined],
      ["/s/disk.swap", "vdc", "raw", undefined],
      ["/s/disk.config", "sdb", "raw", undefined],
    ]);
    expect(all({ disks: [{ kind: "cdrom", path: "/i/iso" }] }).map(([, dev]) => dev)).toEqual(["sda", "vda", "vdb"]);
    const ends = at(domainXml({ ...plan, emptyDisks }), "domain/devices/disk/backingStore");
    expect(ends.filter(({ parent }) => parent !== undefined)).toHaveLength(3);
  });

  it("names the format of every file and ends every chain, so that nothing is probed", () => {
    const xml = domainXml({ ...plan, disks: [{ kind: "cdrom", path: "/i/iso" }, ...plan.disks] });
    expect(at(xml, "domain/devices/disk/driver").map((it) => it.attributes.type)).toEqual(["raw", "qcow2"]);
    expect(at(xml, "domain/devices/disk/backingStore/format")[0]?.attributes.type).toBe("qcow2");
    expect(at(xml, "domain/devices/disk/backingStore/backingStore")[0]?.attributes).toEqual({});
    expect(at(xml, "domain/devices/disk/boot").map((it) => it.attributes.order)).toEqual(["1", "2"]);
    expect(at(xml, "domain/devices/disk/readonly")[0]?.parent?.attributes.device).toBe("cdrom");
  });

  it("lets libvirt hand QEMU's user the guest's own disk, and never the shared base", () => {
    const xml = domainXml({ ...plan, relabels: true });
    expect(at(xml, "domain/devices/disk/backingStore/source/seclabel")[0]?.attributes.relabel).toBe("no");
    expect(at(xml, "domain/devices/disk/source/seclabel")).toEqual([]);
    expect(domainXml(plan)).not.toContain("seclabel");
  });

  it("has a channel for a guest agent only if the image says that there is one", () => {
    expect(named("web")).not.toContain("<channel");
    const agent = { ...plan.spec, image: { ...plan.spec.image, guest_agent: true } };
    const xml = domainXml({ ...plan, spec: agent });
    expect(at(xml, "domain/devices/channel/target")[0]?.attributes.name).toBe("org.qemu.guest_agent.0");
  });

  it("listens for VNC on a unix socket alone", () => {
    expect(at(named("web"), "domain/devices/graphics/listen")[0]?.attributes).toEqual({ type: "socket" });
    expect(vncOf(named("web"))).toBeNull();
  });
});

describe("rescueXml", () => {
  const own = domainXml({
    ...plan,
    disks: [{ kind: "cdrom", path: "/i/iso" }, ...plan.disks],
    configDrive: "/s/disk.config",
    spec: { ...plan.spec, display_name: "<disk> vda boot" },
  })
    // As libvirt gives it back: each with a place of its own.
    .replace(/<target dev='vda'[^>]*>/, "$&<address type='pci' slot='0x00'/>")
    .replace(/<target dev='sd[ab]'[^>]*>/g, "$&<address type='drive' unit='0'/>");
  const disks = (xml: string) =>
    at(xml, "domain/devices/disk").map((it) => {
      const inner = readElements(xml).filter(({ parent }) => parent?.start === it.start);
      const of = (name: string) => inner.find(({ path }) => path.endsWith(`/${name}`))?.attributes;
      return [of("source")?.file, of("target")?.dev, of("boot")?.order, of("address") !== undefined];
    });

  it("puts a disk in front of the others, which move up and lose their place", () => {
    const base = { path: "/i/res", format: "raw" } as const;
    expect(
      disks(rescueXml(own, { disk: { kind: "disk", path: "/s/disk.rescue", base }, instead: null, relabels: false })),
    ).toEqual([
      ["/s/disk.rescue", "vda", "1", false],
      ["/i/iso", "sda", "2", true],
      ["/s/disk", "vdb", "3", false],
      ["/s/disk.config", "sdb", undefined, true],
    ]);
  });

  it("puts the guest's own disk first of the others, which keep their order", () => {
    const original = domainXml({ ...plan, emptyDisks: ["/s/disk.eph0", "/s/disk.swap"] });
    const disk = { kind: "disk", path: "/s/disk.rescue", base: { path: "/i/res", format: "raw" } } as const;
    const names = disks(rescueXml(original, { disk, instead: null, relabels: false })).map(([file, dev]) => [
      file,
      dev,
    ]);
    expect(names).toEqual([
      ["/s/disk.rescue", "vda"],
      ["/s/disk", "vdb"],
      ["/s/disk.eph0", "vdc"],
      ["/s/disk.swap", "vdd"],
    ]);
  });

  it("puts the rescue's config drive in the place of the guest's own, in the same file's stead alone", () => {
    const base = { path: "/i/res", format: "raw" } as const;
    const rescue = { disk: { kind: "disk", path: "/s/disk.rescue", base }, relabels: true } as const;
    const instead = { of: "/s/disk.config", path: "/s/a&b" };
    expect(disks(rescueXml(own, { ...rescue, instead })).map(([file]) => file)).toEqual([
      "/s/disk.rescue",
      "/i/iso",
      "/s/disk",
      "/s/a&b",
    ]);
    const other = { ...instead, of: "/s/disk.other" };
    expect(rescueXml(own, { ...rescue, instead: other })).toBe(rescueXml(own, { ...rescue, instead: null }));
  });

  it("puts a CD in front of the other CDs", () => {
    expect(disks(rescueXml(own, { disk: { kind: "cdrom", path: "/i/res" }, instead: null, relabels: false }))).toEqual([
      ["/i/res", "sda", "1", false],
      ["/i/iso", "sdb", "2", false],
      ["/s/disk", "vda", "3", true],
      ["/s/disk.config", "sdc", undefined, false],
    ]);
  });

  it("changes nothing else, and gives a guest without disks its first", () => {
    const outside = (xml: string) => xml.replace(/<disk .*<\/disk>/s, "").replace(/\s+/g, " ");
    expect(outside(rescueXml(own, { disk: { kind: "cdrom", path: "/i/res" }, instead: null, relabels: false }))).toBe(
      outside(own),
    );
    const bare = "<domain type='qemu'><name>a</name><devices><emulator>/q</emulator></devices></domain>";
    const rescued = rescueXml(bare, { disk: { kind: "cdrom", path: "/i/res" }, instead: null, relabels: true });
    expect(disks(rescued)).toEqual([["/i/res", "sda", "1", false]]);
    expect(at(rescued, "domain/devices/disk/source/seclabel")[0]?.attributes.relabel).toBe("no");
    expect(readElements(rescued).at(-1)?.text).toBe("/q");
  });
});

describe("vncOf", () => {
  const live = (inside: string) => `<domain id='1'><devices>${inside}</devices></domain>`;
  it.each([
    ["socket", "<graphics type='vnc' socket='/a'><listen type='socket' socket='/a'/></graphics>", "/a"],
    ["listen alone", "<graphics type='vnc'><listen type='socket' socket='/b&amp;c'/></graphics>", "/b&c"],
    ["second graphics", "<graphics type='spice' port='1'/><graphics type='vnc' socket='/d'/>", "/d"],
  ])("finds a unix socket: %s", (_, inside, path) => {
    expect(vncOf(live(inside))).toEqual({ transport: "unix", path });
  });

  it("finds a port on loopback, and no other", () => {
    const tcp = (host: string, port: string) =>
      live(`<graphics type='vnc' port='${port}'><listen type='address' address='${host}'/></graphics>`);
    expect(vncOf(tcp("127.0.0.1", "5900"))).toEqual({ transport: "tcp", host: "127.0.0.1", port: 5900 });
    expect(vncOf(tcp("::1", "5900"))).toEqual({ transport: "tcp", host: "::1", port: 5900 });
    expect(vncOf(tcp("0.0.0.0", "5900"))).toBeNull();
    expect(vncOf(tcp("127.0.0.1", "-1"))).toBeNull();
    expect(vncOf(tcp("127.0.0.1", "70000"))).toBeNull();
  });

  it("is not deceived by a comment, CDATA or an element elsewhere", () => {
    const fake = "<graphics type='vnc' socket='/evil'/>";
    expect(vncOf(live(`<!-- ${fake} --><![CDATA[${fake}]]><x>${fake}</x>`))).toBeNull();
    expect(vncOf(`<domain><metadata>${fake}</metadata></domain>`)).toBeNull();
  });

  it("takes any text without a throw", () => {
    fc.assert(fc.property(fc.string(), (text) => void vncOf(`<domain>${text}`)));
  });
});

describe("parseCapabilities", () => {
  const caps = (inside: string, arch = "x86_64") =>
    `<capabilities>${inside}<guest><arch name='${arch}'><domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>`;
  it("reads QEMU's user and whether KVM is offered", () => {
    const secmodel =
      "<host><secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+107</baselabel></secmodel></host>";
    expect(parseCapabilities(caps(secmodel))).toEqual({ kvm: true, qemuUser: { uid: 64055, gid: 107 } });
    expect(parseCapabilities(caps("", "i686"))).toEqual({ kvm: false, qemuUser: null });
  });
});

describe("parseConnectionUri", () => {
  it("knows libvirt's folders", () => {
    expect(parseConnectionUri("qemu:///system", {})).toMatchObject({
      sockets: ["/var/run/libvirt/libvirt-sock", "/var/run/libvirt/virtqemud-sock"],
      startsDaemon: false,
    });
    expect(parseConnectionUri("qemu:///session", { XDG_RUNTIME_DIR: "/r" }).sockets[0]).toBe("/r/libvirt/libvirt-sock");
    expect(parseConnectionUri("qemu:///session", { HOME: "/h" }).sockets[0]).toBe("/h/.cache/libvirt/libvirt-sock");
    expect(parseConnectionUri("qemu:///session?socket=/a%20b", {})).toEqual({
      uri: "qemu:///session",
      driver: "qemu",
      session: true,
      sockets: ["/a b"],
      startsDaemon: false,
    });
  });

  it.each([
    ["xen:///system", "virtxend-sock", "xen"],
    ["lxc:///system", "virtlxcd-sock", "lxc"],
    ["lxc:///", "virtlxcd-sock", "lxc"],
    ["test:///default", "virtqemud-sock", "test"],
  ])("takes %s", (uri, own, driver) => {
    const sockets = ["/var/run/libvirt/libvirt-sock", `/var/run/libvirt/${own}`];
    expect(parseConnectionUri(uri, {})).toEqual({ uri, driver, session: false, sockets, startsDaemon: false });
  });

  it.each([
    ...["qemu+ssh://host/system", "xen:///session", "test:///a", "bhyve:///system", "qemu:///system?x=1", ""],
    "qemu:///system?socket=/a&x=1",
  ])("refuses %j", (uri) => {
    expect(() => parseConnectionUri(uri, {})).toThrow(expect.objectContaining({ code: "HypervisorUnavailable" }));
  });
});
