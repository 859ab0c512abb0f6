/**
 * A qcow2 header, read strictly (QEMU: docs/interop/qcow2.rst). What QEMU itself would refuse is refused, and what would
 * make it open another file or ask for a key: an image is to be one file, and all of it.
 */
import { type ImageBytes, Refused } from "./image-bytes.ts";

const V2_BYTES = 72;
const V3_BYTES = 104;
const MAX_HEADER_BYTES = 4096;
const MAX_EXTENSIONS = 64;
/** QEMU's own limits (block/qcow2.h). */
const CLUSTER_BITS = { min: 9, max: 21 };
const MAX_L1_BYTES = 32 << 20;
const MAX_REFCOUNT_TABLE_BYTES = 8 << 20;
const MAX_REFCOUNT_ORDER = 6;
const MAX_SNAPSHOTS = 65_536;
const MIN_SNAPSHOT_BYTES = 40;

/** Incompatible feature bits; those that are not here are unknown. */
const FEATURE = { DIRTY: 1n, CORRUPT: 2n, DATA_FILE: 4n, COMPRESSION: 8n, EXTENDED_L2: 16n };
const KNOWN_FEATURES = Object.values(FEATURE).reduce((all, bit) => all | bit);
const EXTENSION = { END: 0, DATA_FILE: 0x44415441, ENCRYPTION: 0x0537be77 };
const ZSTD = 1;

/** Sizes and offsets in bytes. */
export type Qcow2Header = {
  virtual_size: number;
  cluster: number;
  l1: { offset: number; entries: number };
  /** An entry of the tables that the L1 table points to: 8, or 16 with sub-clusters. */
  l2_entry: number;
};

/**
 * The header of `bytes`, which have the signature. Rejects with `Refused`. `overlay`: a backing file is let pass, which
 * whoever uses the disk must not open.
 */
export async function readQcow2Header(bytes: ImageBytes, { overlay = false } = {}): Promise<Qcow2Header> {
  const head = await bytes.read(0, MAX_HEADER_BYTES);
  if (head.length < V2_BYTES) throw new Refused("is truncated: a qcow2 header has more bytes");
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw new Refused(`is QCOW of version ${version}, not qcow2`);
  if (version === 3 && head.length < V3_BYTES) throw new Refused("is truncated: a qcow2 header has more bytes");
  if (!overlay && (head.readBigUInt64BE(8) !== 0n || head.readUInt32BE(16) !== 0)) {
    throw new Refused("has a backing file: it must stand on its own (qemu-img convert makes it so)");
  }
  const features = version === 3 ? head.readBigUInt64BE(72) : 0n;
  checkFeatures(features);
  if (head.readUInt32BE(32) !== 0) throw new Refused("is encrypted");
  const bits = head.readUInt32BE(20);
  if (bits < CLUSTER_BITS.min || bits > CLUSTER_BITS.max) throw new Refused(`has clusters of 2^${bits} bytes`);
  const cluster = 2 ** bits;
  const length = version === 3 ? checkV3(head, { features, cluster }) : V2_BYTES;
  checkExtensions(head.subarray(0, cluster), length);
  const l2_entry = features & FEATURE.EXTENDED_L2 ? 16 : 8;
  const header = {
    virtual_size: virtualSize(head.readBigUInt64BE(24)),
    cluster,
    l1: { offset: number(head.readBigUInt64BE(40)), entries: head.readUInt32BE(36) },
    l2_entry,
  };
  checkTables(head, header, bytes.size);
  return header;
}

function checkFeatures(features: bigint): void {
  if (features & FEATURE.DATA_FILE) throw new Refused("has a data file: its bytes are in another file");
  if (features & FEATURE.CORRUPT) throw new Refused("is marked as corrupt (qemu-img check -r all may mend it)");
  if (features & ~KNOWN_FEATURES) throw new Refused("has features that are unknown here");
}

/** The header's own length. */
function checkV3(head: Buffer, { features, cluster }: { features: bigint; cluster: number }): number {
  const length = head.readUInt32BE(100);
  if (length < V3_BYTES || length % 8 !== 0 || length > Math.min(cluster, head.length)) {
    throw new Refused(`has a qcow2 header of ${length} bytes`);
  }
  if (head.readUInt32BE(96) > MAX_REFCOUNT_ORDER) throw new Refused("has reference counts of an impossible width");
  const compression = length > V3_BYTES ? head.readUInt8(V3_BYTES) : 0;
  if (compression > ZSTD || compression > 0 !== (features & FEATURE.COMPRESSION) > 0n) {
    throw new Refused("is compressed in a way that is unknown here");
  }
  return length;
}

function checkExtensions(head: Buffer, start: number): void {
  let at = start;
  for (let count = 0; at + 8 <= head.length; count += 1) {
    const type = head.readUInt32BE(at);
    const length = head.readUInt32BE(at + 4);
    if (type === EXTENSION.END) return;
    if (type === EXTENSION.DATA_FILE) throw new Refused("has a data file: its bytes are in another file");
    if (type === EXTENSION.ENCRYPTION) throw new Refused("is encrypted");
    at += 8 + Math.ceil(length / 8) * 8;
    if (count === MAX_EXTENSIONS || at > head.length) throw new Refused("has header extensions that do not end");
  }
}

function virtualSize(size: bigint): number {
  if (size === 0n) throw new Refused("is a disk of no size");
  return number(size);
}

function checkTables(head: Buffer, { virtual_size, cluster, l1, l2_entry }: Qcow2Header, size: number): void {
  const perEntry = (cluster / l2_entry) * cluster;
  const needed = Math.ceil(virtual_size / perEntry);
  if (l1.entries < needed || l1.entries * 8 > MAX_L1_BYTES) {
    throw new Refused(`has a virtual size of ${virtual_size} bytes, for which its table of ${l1.entries} is not made`);
  }
  inside("L1 table", { offset: l1.offset, length: l1.entries * 8, cluster }, size);
  const refcounts = head.readUInt32BE(56) * cluster;
  if (refcounts === 0 || refcounts > MAX_REFCOUNT_TABLE_BYTES) throw new Refused("has an impossible refcount table");
  inside("refcount table", { offset: number(head.readBigUInt64BE(48)), length: refcounts, cluster }, size);
  const snapshots = head.readUInt32BE(60);
  if (snapshots > MAX_SNAPSHOTS) throw new Refused(`says that it has ${snapshots} snapshots`);
  const table = { offset: number(head.readBigUInt64BE(64)), length: snapshots * MIN_SNAPSHOT_BYTES, cluster };
  if (snapshots > 0) inside("snapshot table", table, size);
}

type Table = { offset: number; length: number; cluster: number };

/** The first cluster is the header's. */
function inside(name: string, { offset, length, cluster }: Table, size: number): void {
  if (offset < cluster || offset % cluster !== 0) throw new Refused(`has a ${name} in an impossible place`);
  if (offset + length > size) throw new Refused(`is truncated or damaged: its ${name} is beyond its end`);
}

/** Offsets have 56 bits in a qcow2 file, and no file has so many bytes. */
function number(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refused(`names a size or place of ${value} bytes`);
  return Number(value);
}
