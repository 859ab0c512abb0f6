/** The inspector on bytes that are made by hand, field by field, and on bytes that nobody meant. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ImageBytes, MAX_READ_BYTES, Refused } from "../../agent/image-inspect/image-bytes.ts";
import { inspectBytes, inspectImage, virtualSizeOf } from "../../agent/image-inspect/inspect.ts";
import type { ImageRef } from "../../functions/protocol/methods.ts";
import { temporaryDir } from "./agent-support.ts";

type Format = ImageRef["disk_format"];
const CLUSTER = 65_536;
const MIB = 1 << 20;

/** Bytes in memory; it counts what is asked of them. */
function bytesOf(data: Buffer): ImageBytes & { asked: number } {
  return {
    size: data.length,
    asked: 0,
    async read(offset, length) {
      if (length > MAX_READ_BYTES || length < 0 || offset < 0) throw new Error(`read of ${length} at ${offset}`);
      this.asked += length;
      return data.subarray(offset, offset + length);
    },
  };
}

/** A disk of 1 MiB: header, refcount table, L1 table, an L2 table, and one cluster of data. */
function qcow2(change: (image: Buffer) => void = () => undefined): Buffer {
  const image = Buffer.alloc(5 * CLUSTER);
  image.write("QFI\xfb", "latin1");
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(BigInt(MIB), 24);
  image.writeUInt32BE(1, 36);
  image.writeBigUInt64BE(BigInt(2 * CLUSTER), 40);
  image.writeBigUInt64BE(BigInt(CLUSTER), 48);
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(104, 100);
  image.writeBigUInt64BE(BigInt(3 * CLUSTER) | (1n << 63n), 2 * CLUSTER);
  image.writeBigUInt64BE(BigInt(4 * CLUSTER) | (1n << 63n), 3 * CLUSTER);
  change(image);
  return image;
}

function iso(change: (image: Buffer) => void = () => undefined): Buffer {
  const image = Buffer.alloc(20 * 2048);
  image.write("\x01CD001\x01", 16 * 2048, "latin1");
  image.writeUInt32LE(20, 16 * 2048 + 80);
  image.writeUInt16LE(2048, 16 * 2048 + 128);
  change(image);
  return image;
}

const raw = (text = "") => Buffer.concat([Buffer.from(text, "latin1"), Buffer.alloc(MIB)]);
const u32 = (value: number, at: number) => (image: Buffer) => void image.writeUInt32BE(value, at);
const u64 = (value: bigint, at: number) => (image: Buffer) => void image.writeBigUInt64BE(value, at);
const why = (data: Buffer, disk_format: Format) =>
  inspectBytes(bytesOf(data), { disk_format }).then(
    () => "accepted",
    (error: unknown) => (error instanceof Refused ? error.message : `not a refusal: ${error}`),
  );

describe("a good image", () => {
  const v2 = qcow2((image) => {
    image.fill(0, 72, 104);
    image.writeUInt32BE(2, 4);
  });
  const mbr = raw("\x1f\x8b");
  mbr.writeUInt16LE(0xaa55, 510);
  it.each<[string, Buffer, Format]>([
    ["qcow2", qcow2(), "qcow2"],
    ["qcow2 of version 2", v2, "qcow2"],
    ["qcow2 with a feature name table", qcow2(u32(0x6803f857, 104)), "qcow2"],
    ["qcow2 that was in use", qcow2(u64(1n, 72)), "qcow2"],
    ["raw", raw(), "raw"],
    ["raw with a boot sector that begins as gzip does", mbr, "raw"],
    ["raw GPT", raw(`${"\0".repeat(510)}\x55\xaaEFI PART`), "raw"],
    ["iso", iso(), "iso"],
    ["iso with a boot record first", iso((it) => it.copy(it, 17 * 2048, 16 * 2048) && it.fill(0, 32768, 32769)), "iso"],
    ["iso called raw", iso(), "raw"],
  ])("(%s) is accepted", async (_what, data, format) => {
    expect(await why(data, format)).toBe("accepted");
  });
});

describe("qcow2", () => {
  const inL1 = 2 * CLUSTER;
  it.each<[string, (image: Buffer) => void, RegExp]>([
    ["a backing file", (it) => [u64(512n, 8)(it), u32(11, 16)(it)], /^has a backing file/],
    ["a backing file of no name", u64(512n, 8), /^has a backing file/],
    ["a name without a place", u32(11, 16), /^has a backing file/],
    ["a data file by its feature", u64(4n, 72), /^has a data file/],
    ["a data file by its name", (it) => [u32(0x44415441, 104)(it), u32(8, 108)(it)], /^has a data file/],
    ["an encryption header", u32(0x0537be77, 104), /^is encrypted/],
    ["LUKS", u32(2, 32), /^is encrypted/],
    ["AES", u32(1, 32), /^is encrypted/],
    ["the mark of corruption", u64(2n, 72), /^is marked as corrupt/],
    ["an unknown feature", u64(32n, 72), /features that are unknown/],
    ["the highest unknown feature", u64(1n << 63n, 72), /features that are unknown/],
    ["unknown compression", (it) => [u32(112, 100)(it), it.writeUInt8(2, 104)], /compressed in a way/],
    ["compression that its features do not tell", (it) => [u32(112, 100)(it), it.writeUInt8(1, 104)], /compressed in/],
    ["version 1", u32(1, 4), /QCOW of version 1/],
    ["version 4", u32(4, 4), /QCOW of version 4/],
    ["clusters of 256 bytes", u32(8, 20), /clusters of 2\^8/],
    ["clusters of 4 MiB", u32(22, 20), /clusters of 2\^22/],
    ["clusters of 2^4294967295", u32(0xffffffff, 20), /clusters of 2\^4294967295/],
    ["no size", u64(0n, 24), /of no size/],
    ["a size above its table", u64(1n << 40n, 24), /virtual size of 1099511627776 bytes/],
    ["the largest size", u64((1n << 64n) - 1n, 24), /names a size or place of 18446744073709551615/],
    ["an L1 table beyond its end", u64(1n << 40n, 40), /L1 table is beyond/],
    ["an L1 table in its header", u64(0n, 40), /L1 table in an impossible place/],
    ["an L1 table off the clusters", u64(BigInt(CLUSTER + 8), 40), /L1 table in an impossible place/],
    ["an absurd L1 table", u32(0xffffffff, 36), /table of 4294967295/],
    ["a refcount table beyond its end", u64(1n << 40n, 48), /refcount table is beyond/],
    ["no refcount table", u32(0, 56), /impossible refcount table/],
    ["an absurd refcount table", u32(0xffffffff, 56), /impossible refcount table/],
    ["refcounts of 128 bits", u32(7, 96), /impossible width/],
    ["a header of 100 bytes", u32(100, 100), /header of 100 bytes/],
    ["a header of 4 GiB", u32(0xfffffff8, 100), /header of 4294967288 bytes/],
    ["extensions without an end", (it) => [u32(1, 104)(it), u32(0xffffffff, 108)(it)], /extensions that do not end/],
    ["absurdly many snapshots", u32(0xffffffff, 60), /4294967295 snapshots/],
    ["snapshots beyond its end", (it) => [u32(9, 60)(it), u64(1n << 40n, 64)(it)], /snapshot table is beyond/],
    ["an L2 table off the clusters", u64(BigInt(3 * CLUSTER + 512), inL1), /middle of a cluster/],
    ["an L2 table beyond its end", u64(BigInt(9 * CLUSTER), inL1), /data is beyond its end/],
    ["data beyond its end", u64(BigInt(9 * CLUSTER), 3 * CLUSTER), /data is beyond its end/],
    ["compressed data beyond its end", u64((1n << 62n) | BigInt(9 * CLUSTER), 3 * CLUSTER), /data is beyond its end/],
  ])("with %s is refused", async (_what, change, message) => {
    expect(await why(qcow2(change), "qcow2")).toMatch(message);
  });

  it("is refused wherever it is cut off", async () => {
    const whole = qcow2();
    for (const length of [0, 1, 4, 71, 72, 103, 104, CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 4 * CLUSTER - 1, 4 * CLUSTER]) {
      expect([length, await why(whole.subarray(0, length), "qcow2")]).not.toContain("accepted");
    }
  });

  it("costs little to look at, however many tables it names", async () => {
    const entries = 1 << 17;
    const image = Buffer.concat([qcow2(u32(entries, 36)), Buffer.alloc(64 * MIB)]);
    for (let i = 0; i < entries; i++)
      image.writeBigUInt64BE(BigInt(3 + (i % 1000)) * BigInt(CLUSTER), 2 * CLUSTER + i * 8);
    const bytes = bytesOf(image);
    await inspectBytes(bytes, { disk_format: "qcow2" }).catch(() => undefined);
    expect(bytes.asked).toBeLessThan(40 * MIB);
  });
});

describe("bytes of another format", () => {
  const at = (offset: number, text: string) => raw("\0".repeat(offset) + text);
  const others: [string, Buffer][] = [
    ["qcow2", qcow2()],
    ["QED", raw("QED\0")],
    ["VMDK", raw("KDMV\x01\0\0\0")],
    ["VMDK", raw("COWD")],
    ["VMDK", raw('# Disk DescriptorFile\nversion=1\nCID=1\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/shadow" 0\n')],
    ["VMDK", raw('#a\r\n\n  \n#b\nversion=3\ncreateType="twoGbMaxExtentSparse"\n')],
    ["VDI", at(64, "\x7f\x10\xda\xbe")],
    ["VHD", raw("conectix")],
    ["VHDX", raw("vhdxfile")],
    ["LUKS", raw("LUKS\xba\xbe\0\x02")],
    ["Parallels", raw("WithoutFreeSpace")],
  ];
  it.each(others)("are no raw image: %s", async (name, data) => {
    expect(await why(data, "raw")).toBe(`is a ${name} image and not raw, as its disk format says`);
  });
  it.each(others.slice(1))("are no qcow2 image and no ISO: %s", async (name, data) => {
    expect(await why(data, "qcow2")).toBe(`is a ${name} image and not qcow2, as its disk format says`);
    expect(await why(data, "iso")).toBe(`is a ${name} image and not ISO 9660, as its disk format says`);
  });
  it("are no ISO although they are one as well", async () => {
    expect(
      await why(
        iso((image) => qcow2().copy(image, 0, 0, 104)),
        "iso",
      ),
    ).toMatch(/^is a qcow2 image/);
  });
  it.each([
    ["gzip", "\x1f\x8b"],
    ["xz", "\xfd7zXZ\0"],
    ["bzip2", "BZh9"],
    ["zstd", "\x28\xb5\x2f\xfd"],
    ["zip", "PK\x03\x04"],
  ])("that are compressed with %s say so", async (name, text) => {
    for (const format of ["raw", "qcow2", "iso"] as const) {
      expect(await why(raw(text), format)).toBe(`is compressed with ${name}: upload what is in it`);
    }
  });
  it.each<[string, Buffer, Format, string]>([
    ["nothing", Buffer.alloc(0), "raw", "is empty"],
    ["zeros", raw(), "qcow2", "is not qcow2, as its disk format says"],
    ["zeros", raw(), "iso", "is not ISO 9660, as its disk format says"],
    ["an ISO", iso(), "qcow2", "is not qcow2, as its disk format says"],
    ["half an ISO", iso().subarray(0, 17 * 2048), "iso", "is truncated: its volume has 40960 bytes, the image 34816"],
    ["an ISO of no size", iso((it) => it.fill(0, 32768 + 80, 32768 + 84)), "iso", "is an ISO 9660 image of no size"],
  ])("(%s) are refused as %s", async (_what, data, format, message) => {
    expect(await why(data, format)).toBe(message);
  });
});

describe("whatever the bytes", () => {
  const format = fc.constantFrom<Format>("raw", "qcow2", "iso");
  it("nothing comes of it but a refusal, or none", async () => {
    const edits = fc.array(fc.tuple(fc.nat(5 * CLUSTER - 1), fc.nat(255)), { maxLength: 8 });
    const header = fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 8 });
    const changed = fc
      .tuple(edits, header, fc.option(fc.nat(5 * CLUSTER)), fc.constantFrom(qcow2, iso))
      .map(([far, near, cut, make]) => {
        const image = make();
        for (const [at, value] of [...far, ...near]) if (at < image.length) image[at] = value;
        return cut === null ? image : image.subarray(0, cut);
      });
    const any = fc
      .uint8Array({ maxLength: 200 })
      .map((tail) => Buffer.concat([Buffer.from("QFI\xfb", "latin1"), tail]));
    await fc.assert(
      fc.asyncProperty(fc.oneof(changed, any), format, async (data, claimed) => {
        expect(await why(data, claimed)).not.toMatch(/^not a refusal/);
      }),
      { numRuns: 700 },
    );
  });

  it("a qcow2 that is accepted has all that it names, and leans on nothing", async () => {
    const flip = fc.array(fc.tuple(fc.nat(111), fc.nat(7)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(flip, async (bits) => {
        const image = qcow2();
        for (const [at, bit] of bits) image[at] = (image[at] ?? 0) ^ (1 << bit);
        if ((await why(image, "qcow2")) !== "accepted") return;
        expect([image.readBigUInt64BE(8), image.readUInt32BE(16), image.readUInt32BE(32)]).toEqual([0n, 0, 0]);
        expect(Number(image.readBigUInt64BE(40)) + image.readUInt32BE(36) * 8).toBeLessThanOrEqual(image.length);
        if (image.readUInt32BE(4) === 3) expect(image.readBigUInt64BE(72) & ~0b11001n).toBe(0n);
      }),
      { numRuns: 700 },
    );
  });
});

describe("a file", () => {
  const claim = { id: "33333333-3333-4333-8333-333333333333", disk_format: "qcow2" } as const;
  it("tells the size of the disk in it", async () => {
    const path = join(temporaryDir(), "image");
    writeFileSync(path, qcow2());
    await inspectImage(path, claim);
    expect(await virtualSizeOf(path, claim)).toBe(MIB);
  });

  it("is refused by the image's name", async () => {
    const path = join(temporaryDir(), "image");
    writeFileSync(path, qcow2(u64(4n, 72)));
    const message = `Image ${claim.id} is unacceptable: it has a data file: its bytes are in another file`;
    for (const look of [inspectImage, virtualSizeOf]) {
      await expect(look(path, claim)).rejects.toMatchObject({ code: "ImageUnacceptable", message });
    }
    await expect(inspectImage(`${path}.gone`, claim)).rejects.toThrow("ENOENT");
  });
});
