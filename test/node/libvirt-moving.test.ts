/** What of moving libvirt's guests needs no libvirt: descriptions for another host, paces, values on the wire. */
import { open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair, PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { joinStreams } from "../../agent/drivers/libvirt/joined-streams.ts";
import { dataGib, downtimeSteps, postCopyIsDue } from "../../agent/drivers/libvirt/live-pace.ts";
import { readArrival, receiveFile, sendFile } from "../../agent/drivers/libvirt/live-streams.ts";
import { movedXml } from "../../agent/drivers/libvirt/moved-xml.ts";
import { readNumbers, writeTypedParams } from "../../agent/drivers/libvirt/typed-params.ts";
import { XdrReader, XdrWriter } from "../../agent/drivers/libvirt/xdr.ts";

const GIB = 2 ** 30;

describe("a description for another host", () => {
  const from = { folder: "/a/instances/u", base: "/a/images/b'<" };
  const to = { folder: "/z/instances/u", base: "/z/images/b&" };
  const disk = (file: string) => `<disk type='file' device='disk'><source file='${file}' index='1'/></disk>`;
  const around = (devices: string, os = "") => `<domain><os>${os}</os><devices>${devices}</devices></domain>`;

  it("has its paths wherever there were ours, and nothing else anew", () => {
    const xml = around(
      `${disk("/a/instances/u/disk")}<disk><backingStore><source file='/a/images/b&apos;&lt;'/></backingStore></disk>` +
        `<serial type='pty'><log file="/a/instances/u/console.log" append='off'/></serial><emulator>/a/q</emulator>`,
      "<nvram>/a/instances/u/nvram.fd</nvram>",
    );
    expect(movedXml(xml, from, to)).toBe(
      around(
        `${disk("/z/instances/u/disk")}<disk><backingStore><source file='/z/images/b&amp;'/></backingStore></disk>` +
          `<serial type='pty'><log file='/z/instances/u/console.log' append='off'/></serial><emulator>/a/q</emulator>`,
        "<nvram>/z/instances/u/nvram.fd</nvram>",
      ),
    );
  });

  it("is none of a guest that has other files", () => {
    for (const file of ["/a/instances/other/disk", "/a/instances/u2/disk", "/a/instances/u/../x", "/etc/passwd"]) {
      expect(() => movedXml(around(disk(file)), from, to)).toThrow("its image and its own folder");
    }
  });
});

describe("the pace of a live migration", () => {
  it("counts what there is to copy, each at least as much as Nova does", () => {
    expect(dataGib({ memoryBytes: 64 << 20, diskBytes: 0 })).toBe(2);
    expect(dataGib({ memoryBytes: 3.5 * GIB, diskBytes: 1 })).toBe(4 + 2);
    expect(dataGib({ memoryBytes: 8 * GIB, diskBytes: 20 * GIB + 1 })).toBe(8 + 21);
  });

  it("allows all of the downtime at the last step, a part of it at the first", () => {
    const given = {
      live_migration_downtime: 400,
      live_migration_downtime_steps: 10,
      live_migration_downtime_delay: 30,
    };
    expect(downtimeSteps(given, 3)).toEqual([
      ...[40, 76, 112, 148, 184, 220, 256, 292, 328, 364, 400].map((ms, i) => ({ afterSeconds: 90 * i, ms })),
    ]);
  });

  it("turns to post-copy when a round brought little", () => {
    const round = (memory_iteration: number, data_remaining: number) =>
      new Map(Object.entries({ memory_iteration, data_remaining }));
    expect(postCopyIsDue(round(1, 1000), round(2, 500))).toBe(false);
    expect(postCopyIsDue(round(1, 1000), round(2, 950))).toBe(true);
    expect(postCopyIsDue(round(0, 1000), round(1, 1000))).toBe(false);
  });
});

describe("named values on the wire", () => {
  it("are written as libvirt reads them, and read in all their types", () => {
    const written = writeTypedParams(new XdrWriter(), [
      ["bandwidth", 2 ** 40],
      ["migrate_disks", "vda"],
    ]).bytes();
    const reader = new XdrReader(written);
    expect([reader.uint(), reader.string(), reader.int(), reader.hyper()]).toEqual([2, "bandwidth", 4, 2 ** 40]);
    expect([reader.string(), reader.int(), reader.string()]).toEqual(["migrate_disks", 7, "vda"]);
    const double = Buffer.alloc(8);
    double.writeDoubleBE(0.5);
    const given = new XdrWriter().uint(4).string("a").int(1).int(-1).string("b").int(5).fixed(double);
    given.string("c").int(7).string("text").string("d").int(6).int(1);
    expect(readNumbers(new XdrReader(given.bytes()), 64)).toEqual(
      new Map([
        ["a", -1],
        ["b", 0.5],
        ["d", 1],
      ]),
    );
    const unknown = new XdrWriter().uint(1).string("a").int(8).int(0).bytes();
    expect(() => readNumbers(new XdrReader(unknown), 64)).toThrow("unknown");
  });
});

describe("streams", () => {
  it("that are joined carry both ways, and the end of each", async () => {
    const [near, a] = duplexPair();
    const [far, b] = duplexPair();
    joinStreams(a, b);
    near.end("ping");
    far.end("pong");
    const read = async (stream: NodeJS.ReadableStream) => {
      let text = "";
      for await (const chunk of stream) text += chunk;
      return text;
    };
    expect(await Promise.all([read(near), read(far)])).toEqual(["pong", "ping"]);
  });

  it("that are joined break together", async () => {
    const [, a] = duplexPair();
    const [, b] = duplexPair();
    a.on("error", () => undefined);
    joinStreams(a, b);
    const closed = new Promise<void>((resolve) => b.once("close", resolve));
    a.destroy(new Error("cut"));
    await closed;
    expect(b.destroyed).toBe(true);
  });

  it.each(["", "{}\n", "x\n", '{"uri":"qemu+ssh://elsewhere/system","sockets":"/s","folder":"/f","base":"/b"}\n'])(
    "with an answer that is none are told of: %j",
    async (text) => {
      const [near, far] = duplexPair();
      far.end(text);
      await expect(readArrival(near)).rejects.toMatchObject({ code: "MigrationError" });
    },
  );
});

it("a file that goes to the other host has gone once that has it, though this end has not seen its end yet", async () => {
  const [from, to] = [join(tmpdir(), `file-${process.pid}`), join(tmpdir(), `copy-${process.pid}`)];
  await writeFile(from, "drive");
  const [source, copy] = [await open(from), await open(to, "w+")];
  try {
    const [here, there] = duplexPair();
    const reading = new PassThrough();
    reading.write("drive");
    source.createReadStream = () => reading as never;
    const sent = sendFile(here, source);
    await receiveFile(there, copy);
    there.end("ok\n");
    await new Promise(setImmediate);
    reading.end();
    await sent;
    expect(await copy.read(Buffer.alloc(8), 0, 8, 0)).toMatchObject({ bytesRead: 5 });
  } finally {
    await Promise.all([source.close(), copy.close()]);
    await Promise.all([rm(from), rm(to)]);
  }
});
