/** What another host's libvirtd may ask of this one's, and describe, while a guest of its comes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { wrongOf } from "../../agent/drivers/libvirt/arriving-xml.ts";
import {
  encodeFrame,
  KEEPALIVE,
  KEEPALIVE_PROGRAM,
  REMOTE_PROGRAM,
  STATUS,
  TYPE,
} from "../../agent/drivers/libvirt/frame.ts";
import { MIGRATE } from "../../agent/drivers/libvirt/migration-procedures.ts";
import { type AwaitedGuest, ProcedureFilter } from "../../agent/drivers/libvirt/procedure-filter.ts";
import { PROC } from "../../agent/drivers/libvirt/procedure-numbers.ts";
import { type TypedParam, writeTypedParams } from "../../agent/drivers/libvirt/typed-params.ts";
import { XdrWriter } from "../../agent/drivers/libvirt/xdr.ts";

const uuid = "6f1c2a3b-0000-4000-8000-000000000012";
const folder = `/z/instances/${uuid}`;
const guest: AwaitedGuest = {
  ...{ uuid, name: "instance-1", virtType: "kvm", vcpus: 1, memoryMib: 64, folder, relabels: true },
  base: { path: "/z/base", format: "raw" },
  network: { kind: "bridge", name: "br0" },
  emulator: "/usr/bin/qemu-system-x86_64",
  loaders: ["/usr/share/OVMF/OVMF_CODE_4M.fd"],
  ...{ uri: "qemu:///system", memoryUri: "unix:///m/memory", disksUri: "unix:///m/disks", copiesDisks: true },
};

/** As libvirt 9 describes a guest of the driver for another host. */
const XML = `<domain type='kvm'>
  <name>instance-1</name><uuid>${uuid}</uuid><title>a/b</title>
  <metadata><edgenova:guest xmlns:edgenova="https://edgenova.dev/xmlns/libvirt/guest/1"><edgenova:project>p/q</edgenova:project></edgenova:guest></metadata>
  <memory unit='KiB'>65536</memory><currentMemory unit='KiB'>65536</currentMemory><vcpu placement='static'>1</vcpu>
  <cputune><shares>1024</shares></cputune><resource><partition>/machine</partition></resource>
  <os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <firmware><feature enabled='no' name='secure-boot'/></firmware>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${folder}/nvram.fd</nvram></os>
  <features><acpi/><apic/></features><cpu mode='custom'><model>Nehalem</model></cpu><clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${folder}/disk' index='2'/>
      <backingStore type='file'><format type='raw'/><source file='/z/base'><seclabel model='dac' relabel='no'/></source><backingStore/></backingStore>
      <target dev='vda' bus='virtio'/><iotune><read_iops_sec>100</read_iops_sec></iotune><boot order='1'/><alias name='virtio-disk0'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${folder}/disk.config'/><backingStore/><target dev='sdb' bus='sata'/><readonly/></disk>
    <controller type='pci' index='1' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='1' port='0x10'/></controller>
    <interface type='bridge'><mac address='fa:00:00:00:00:01'/><source bridge='br0'/><model type='virtio'/></interface>
    <serial type='pty'><log file='${folder}/console.log' append='off'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
    <console type='pty'><log file='${folder}/console.log' append='off'/><target type='serial' port='0'/></console>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <input type='tablet' bus='usb'/><graphics type='vnc'><listen type='socket'/></graphics>
    <video><model type='vga' vram='16384'/></video><memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices><seclabel type='dynamic' model='dac' relabel='yes'/>
</domain>
`;
const without = (what: string, instead: string) => {
  expect(XML).toContain(what);
  return XML.replace(what, instead);
};
const device = (xml: string) => without("<emulator>", `${xml}<emulator>`);

describe("a description that comes", () => {
  it("passes as libvirt writes it of our guests", () => {
    expect(wrongOf(XML, guest)).toBeNull();
    const iso = XML.replace(/<disk .*?<\/disk>/s, (disk) =>
      disk
        .replace("device='disk'", "device='cdrom'")
        .replace("qcow2", "raw")
        .replace(
          /<source file='[^']*disk' index='2'\/>/,
          "<source file='/z/base'><seclabel model='dac' relabel='no'/></source>",
        )
        .replace(/<backingStore type.*?<\/backingStore>/s, "<backingStore/>"),
    );
    expect(wrongOf(iso, { ...guest, base: { path: "/z/base", format: "iso" } })).toBeNull();
    expect(wrongOf(iso.replace("device='cdrom'", "device='disk'"), guest)).toContain("write to its image");
  });

  it.each<[string, string, string]>([
    ["a file of the host", `${folder}/disk'`, "/etc/shadow'"],
    ["another guest's disk", `${folder}/disk'`, "/z/instances/other/disk'"],
    ["a way out of its folder", `${folder}/disk'`, `${folder}/../x/disk'`],
    ["another image", "file='/z/base'", "file='/etc/shadow'"],
    ["its image to be given away", "<seclabel model='dac' relabel='no'/>", "<seclabel model='dac' relabel='yes'/>"],
    ["its image with no label", "<seclabel model='dac' relabel='no'/>", ""],
    ["a format that is guessed", "<driver name='qemu' type='raw'/>", "<driver name='qemu'/>"],
    [
      "a drive that is qcow2, of bytes that came",
      "<driver name='qemu' type='raw'/>",
      "<driver name='qemu' type='qcow2'/>",
    ],
    ["a chain that is probed", "<backingStore/><target dev='sdb'", "<target dev='sdb'"],
    [
      "a deeper chain",
      "</source><backingStore/>",
      "</source><backingStore type='file'><source file='/z/base'/></backingStore>",
    ],
    ["a disk that is raw to the host", "device='disk'>", "device='disk' rawio='yes'>"],
    ["a block device", "type='file' device='disk'", "type='block' device='disk'"],
    ["a disk by the network", "type='file' device='disk'", "type='network' device='disk'"],
    ["a namespace's attribute", "<source file='/z/base'>", "<source x:file='/etc/shadow' xmlns:x='u' file='/z/base'>"],
    ["another guest's uuid", `<uuid>${uuid}`, `<uuid>7${uuid.slice(1)}`],
    ["two uuids", "<name>", `<uuid>${uuid}</uuid><name>`],
    ["another guest's name", "<name>instance-1", "<name>instance-2"],
    ["more memory", ">65536</memory>", ">655360</memory>"],
    ["memory in another unit", "<memory unit='KiB'>", "<memory unit='MiB'>"],
    ["more CPUs", ">1</vcpu>", ">64</vcpu>"],
    ["another hypervisor", "type='kvm'", "type='xen'"],
    ["no mark of ours", "https://edgenova.dev/xmlns/libvirt/guest/1", "https://example.org"],
    ["an emulator of its own", "/usr/bin/qemu-system-x86_64", "/bin/sh"],
    ["a firmware that is none", ">/usr/share/OVMF/OVMF_CODE_4M.fd", ">/etc/shadow"],
    ["a firmware that it writes to", "readonly='yes' type='pflash'", "readonly='no' type='pflash'"],
    ["variables from a file of the host", "template='/usr/share/OVMF/OVMF_VARS_4M.fd'", "template='/etc/shadow'"],
    ["variables elsewhere", `${folder}/nvram.fd`, "/etc/crontab"],
    ["a kernel of the host", "<type arch", "<kernel>/boot/vmlinuz</kernel><type arch"],
    ["another bridge", "bridge='br0'", "bridge='br1'"],
    ["another kind of network", "<interface type='bridge'", "<interface type='ethernet'"],
    ["an interface of the host", "<source bridge='br0'/>", "<source bridge='br0'/><target dev='eth0'/>"],
    ["a script", "<source bridge='br0'/>", "<source bridge='br0'/><script path='/tmp/x'/>"],
    ["a port that is a file", "<serial type='pty'>", "<serial type='file'>"],
    ["a log elsewhere", `${folder}/console.log`, "/etc/crontab"],
    ["a socket elsewhere", "<channel type='unix'>", "<channel type='unix'><source mode='bind' path='/etc/passwd'/>"],
    ["a screen for everyone", "<listen type='socket'/>", "<listen type='address' address='0.0.0.0'/>"],
    ["a screen elsewhere", "<listen type='socket'/>", "<listen type='socket' socket='/etc/passwd'/>"],
    ["a screen with no place", "<listen type='socket'/>", ""],
    ["random numbers of a file", "/dev/urandom", "/etc/shadow"],
    ["a dump", "<on_crash>destroy", "<on_crash>coredump-destroy"],
    [
      "a label by which QEMU is root",
      "<seclabel type='dynamic' model='dac' relabel='yes'/>",
      "<seclabel type='static' model='dac'><label>+0:+0</label></seclabel>",
    ],
    ["a base label", "relabel='yes'/>", "relabel='yes'><baselabel>+0:+0</baselabel></seclabel>"],
    ["no label", "type='dynamic' model='dac'", "type='none' model='dac'"],
    ["a partition", "/machine<", "/<"],
    ["a document type", "<domain", "<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/shadow'>]><domain"],
    ["CDATA", "<name>", "<![CDATA[<x>]]><name>"],
    ["a comment", "<name>", "<!-- --><name>"],
    ["what is no tag to us", "<emulator>", "<é/><emulator>"],
    ["a NUL", "</domain>", "</domain>\0"],
  ])("is refused with %s", (_, what, instead) => {
    expect(wrongOf(without(what, instead), guest)).toEqual(expect.any(String));
  });

  it.each([
    "<hostdev mode='subsystem' type='pci'><source><address bus='0x06'/></source></hostdev>",
    "<filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem>",
    "<shmem name='x'/>",
    "<tpm model='tpm-crb'><backend type='emulator'/></tpm>",
    "<input type='evdev'><source dev='/dev/input/event0'/></input>",
    "<input type='passthrough'/>",
    "<audio id='1' type='file'/>",
    "<watchdog model='i6300esb' action='dump'/>",
    "<memory model='nvdimm'><source><path>/etc/shadow</path></source></memory>",
    "<x:disk xmlns:x='u'/>",
  ])("is refused with %s", (xml) => {
    expect(wrongOf(device(xml), guest)).toEqual(expect.any(String));
  });

  it("is refused with arguments of QEMU's own", () => {
    const line = "<q:commandline><q:arg value='x'/></q:commandline></domain>";
    const namespaced = without("</domain>", line).replace(
      "<domain ",
      "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0' ",
    );
    expect(wrongOf(namespaced, guest)).toEqual(expect.any(String));
  });
});

const call = (procedure: number, payload: Buffer = Buffer.alloc(0), over = {}) =>
  encodeFrame({ program: REMOTE_PROGRAM, procedure, type: TYPE.CALL, serial: 3, status: STATUS.OK, payload, ...over });
const open = (uri: string) =>
  call(
    PROC.CONNECT_OPEN,
    new XdrWriter()
      .optional(uri, (w, v) => w.string(v))
      .uint(0)
      .bytes(),
  );
const PARAMS: TypedParam[] = [
  ["destination_xml", XML],
  ["migrate_uri", guest.memoryUri],
  ["disks_uri", guest.disksUri],
  ["migrate_disks", "vda"],
];
const FLAGS = MIGRATE.LIVE | MIGRATE.PEER2PEER | MIGRATE.PERSIST_DEST | MIGRATE.NON_SHARED_INC;
const cookie = (within = "") =>
  `<qemu-migration>\n<name>instance-1</name><hostname>from</hostname><nbd><disk target='vda' capacity='1'/></nbd>${within}</qemu-migration>\n\0`;
const prepare = (params: TypedParam[] = PARAMS, flags = FLAGS) =>
  call(
    PROC.DOMAIN_MIGRATE_PREPARE3_PARAMS,
    writeTypedParams(new XdrWriter(), params).string(cookie()).uint(flags).bytes(),
  );
const NAMED: TypedParam[] = [...PARAMS, ["destination_name", guest.name]];
const finish = (stored: string, params = NAMED) =>
  call(
    PROC.DOMAIN_MIGRATE_FINISH3_PARAMS,
    writeTypedParams(new XdrWriter(), params).string(cookie(stored)).uint(FLAGS).int(0).bytes(),
  );

/** What of these bytes has passed, and why no more did. */
function passed(...chunks: Uint8Array[]): Promise<{ bytes: Buffer; why: string | null }> {
  return passedFor(guest, ...chunks);
}

async function passedFor(of: AwaitedGuest, ...chunks: Uint8Array[]): Promise<{ bytes: Buffer; why: string | null }> {
  const filter = new ProcedureFilter(of);
  const bytes: Buffer[] = [];
  filter.on("data", (chunk: Buffer) => bytes.push(chunk));
  let why: string | null = null;
  filter.on("error", (error) => {
    why = error.message;
  });
  for (const chunk of chunks) if (!filter.destroyed) filter.write(chunk);
  filter.end();
  await new Promise((resolve) => filter.once("close", resolve));
  return { bytes: Buffer.concat(bytes), why };
}

describe("the calls of a source's libvirtd", () => {
  const stored = XML.replaceAll(/^/gm, "  ").trimStart();
  const good = Buffer.concat([
    ...[call(PROC.AUTH_LIST), call(PROC.CONNECT_SUPPORTS_FEATURE, new XdrWriter().int(10).bytes())],
    ...[open(guest.uri), call(PROC.CONNECT_REGISTER_CLOSE_CALLBACK), prepare()],
    call(KEEPALIVE.PING, Buffer.alloc(0), { program: KEEPALIVE_PROGRAM, type: TYPE.MESSAGE, serial: 0 }),
    ...[finish(stored), call(PROC.CONNECT_UNREGISTER_CLOSE_CALLBACK), call(PROC.CONNECT_CLOSE)],
  ]);

  it("pass, wherever they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(good.length), { maxLength: 20 }), async (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), good.length];
        const chunks = at.slice(1).map((end, i) => good.subarray(at[i], end));
        const { bytes, why } = await passed(...chunks);
        expect(why).toBeNull();
        expect(bytes.equals(good)).toBe(true);
      }),
    );
  });

  it.each<[string, Buffer]>([
    ["another procedure", call(PROC.DOMAIN_DEFINE_XML)],
    ["a list of the guests", call(PROC.CONNECT_LIST_ALL_DOMAINS)],
    ["an end of a guest", call(PROC.DOMAIN_DESTROY_FLAGS)],
    ["another program", call(1, Buffer.alloc(0), { program: 0x20008087 })],
    ["a stream", call(PROC.AUTH_LIST, Buffer.alloc(0), { type: 3 })],
    ["an answer", call(PROC.AUTH_LIST, Buffer.alloc(0), { type: TYPE.REPLY })],
    ["file descriptors", call(PROC.AUTH_LIST, Buffer.alloc(0), { type: 4 })],
    ["a failure", call(PROC.AUTH_LIST, Buffer.alloc(0), { status: STATUS.ERROR })],
    ["another connection", open("lxc:///system")],
    ["no connection", call(PROC.CONNECT_OPEN, new XdrWriter().uint(0).uint(0).bytes())],
    [
      "memory by TCP",
      prepare([
        ["destination_xml", XML],
        ["migrate_uri", "tcp://0.0.0.0:1"],
      ]),
    ],
    [
      "memory by what libvirt likes",
      prepare([
        ["destination_xml", XML],
        ["disks_uri", guest.disksUri],
      ]),
    ],
    ["disks by what libvirt likes", prepare(PARAMS.slice(0, 2))],
    ["no description", prepare(PARAMS.slice(1))],
    ["a description that is a number", prepare([["destination_xml", 1], ...PARAMS.slice(1)])],
    ["a second description", prepare([...PARAMS, ["destination_xml", without("/z/base", "/etc/shadow")]])],
    ["a parameter that is unknown", prepare([...PARAMS, ["listen_address", "0.0.0.0"]])],
    ["a flag that is unknown", prepare(PARAMS, FLAGS | (1 << 2))],
    ["a guest that is another", prepare([...PARAMS, ["destination_name", "other"]])],
    ["the end of no guest", finish(stored, PARAMS)],
    ["a stored description that is another", finish(stored.replace("/z/base", "/etc/shadow"))],
    ["two stored descriptions", finish(stored + stored.replace("/z/base", "/etc/shadow"))],
    ["a cookie that is unknown", finish("<x/>")],
    ["a cookie in a namespace", finish("<name xmlns='u'>x</name>")],
  ])("end with %s, which does not pass", async (_, bad) => {
    const before = call(PROC.AUTH_LIST);
    const { bytes, why } = await passed(before, bad, call(PROC.AUTH_LIST));
    expect(why).toEqual(expect.any(String));
    expect(bytes.equals(before)).toBe(true);
  });

  it("are never others, whatever comes", async () => {
    const allowed = new Set<number>([
      PROC.AUTH_LIST,
      PROC.CONNECT_SUPPORTS_FEATURE,
      PROC.CONNECT_OPEN,
      PROC.CONNECT_CLOSE,
    ]);
    for (const it of [PROC.CONNECT_REGISTER_CLOSE_CALLBACK, PROC.CONNECT_UNREGISTER_CLOSE_CALLBACK]) allowed.add(it);
    for (const it of [PROC.DOMAIN_MIGRATE_PREPARE3_PARAMS, PROC.DOMAIN_MIGRATE_FINISH3_PARAMS]) allowed.add(it);
    const word = fc.oneof(fc.integer({ min: 0, max: 400 }), fc.nat(2 ** 31));
    const frame = fc
      .record({ program: fc.constantFrom(REMOTE_PROGRAM, KEEPALIVE_PROGRAM, 1), procedure: word, type: fc.nat(5) })
      .chain((head) => fc.uint8Array({ maxLength: 64 }).map((bytes) => call(head.procedure, Buffer.from(bytes), head)));
    const mangled = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.from(good);
      bytes[at] = byte;
      return bytes;
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(frame, mangled, fc.uint8Array()), { maxLength: 5 }), async (chunks) => {
        const { bytes } = await passed(...chunks);
        for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
          if (bytes.readUInt32BE(at + 4) === KEEPALIVE_PROGRAM) continue;
          expect(allowed).toContain(bytes.readUInt32BE(at + 12));
          expect(bytes.readUInt32BE(at + 16)).toBe(TYPE.CALL);
          expect(bytes.toString("latin1")).not.toContain("/etc/shadow");
        }
      }),
      { numRuns: 500 },
    );
  });

  it("copy disks, or say that it is safe to leave them where they are, as is awaited", async () => {
    const { NON_SHARED_INC, UNSAFE } = MIGRATE;
    const why = async (copiesDisks: boolean, flags: number) =>
      (await passedFor({ ...guest, copiesDisks }, prepare(PARAMS, flags))).why;
    const plain = FLAGS & ~NON_SHARED_INC;
    expect(await why(true, FLAGS)).toBeNull();
    expect(await why(true, plain | UNSAFE)).toContain("flags");
    expect(await why(false, plain | UNSAFE)).toBeNull();
    expect(await why(false, FLAGS)).toContain("flags");
  });

  it("that are longer than any that there is are not waited for", async () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(2 << 20);
    expect((await passed(head)).why).toContain("cannot be");
  });
});
