/**
 * What bytes are, by their signatures: every format that QEMU probes for (its block/*.c: *_probe), and archives that are
 * uploaded by mistake. Pure.
 */
import type { ImageRef } from "../../functions/protocol/methods.ts";

/** Enough for every signature here; the longest text in front of a VMDK descriptor that is taken for one. */
export const HEAD_BYTES = 4096;

const ascii = (text: string) => Buffer.from(text, "latin1");

type Signature = { name: string; at: number; bytes: Buffer };
const DISKS: readonly Signature[] = [
  { name: "qcow2", at: 0, bytes: ascii("QFI\xfb") },
  { name: "QED", at: 0, bytes: ascii("QED\0") },
  { name: "VMDK", at: 0, bytes: ascii("KDMV") },
  { name: "VMDK", at: 0, bytes: ascii("COWD") },
  { name: "VDI", at: 64, bytes: Buffer.from([0x7f, 0x10, 0xda, 0xbe]) },
  { name: "VHD", at: 0, bytes: ascii("conectix") },
  { name: "VHDX", at: 0, bytes: ascii("vhdxfile") },
  { name: "LUKS", at: 0, bytes: ascii("LUKS\xba\xbe") },
  { name: "Parallels", at: 0, bytes: ascii("WithoutFreeSpace") },
  { name: "Parallels", at: 0, bytes: ascii("WithouFreSpacExt") },
  { name: "Bochs", at: 0, bytes: ascii("Bochs Virtual HD Image") },
  { name: "cloop", at: 0, bytes: ascii("#!/bin/sh\n#V2.0 Format") },
];

const ARCHIVES: readonly Signature[] = [
  { name: "gzip", at: 0, bytes: Buffer.from([0x1f, 0x8b]) },
  { name: "xz", at: 0, bytes: ascii("\xfd7zXZ\0") },
  { name: "bzip2", at: 0, bytes: ascii("BZh") },
  { name: "zstd", at: 0, bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
  { name: "zip", at: 0, bytes: ascii("PK\x03\x04") },
  { name: "7z", at: 0, bytes: ascii("7z\xbc\xaf\x27\x1c") },
];

/** A VMDK descriptor is a text that names the files of the disk; QEMU passes over comments and blank lines in front of it. */
const VMDK_DESCRIPTOR = /^(?:#[^\n]*\n|[ \t]*\r?\n)*(?:[ \t]*version=|# Disk DescriptorFile)/i;
const BOOT_SIGNATURE_AT = 510;

const has = (head: Buffer, { at, bytes }: Signature) => head.subarray(at, at + bytes.length).equals(bytes);

/** The disk format whose signature `head`, an image's first bytes, has; null when it has none. */
export function diskFormatOf(head: Buffer): string | null {
  const found = DISKS.find((it) => has(head, it));
  if (found) return found.name;
  return VMDK_DESCRIPTOR.test(head.toString("latin1")) ? "VMDK" : null;
}

/** The archive that `head` begins; null when it begins none. A boot sector is code, and may begin with anything. */
export function archiveOf(head: Buffer): string | null {
  if (head.length > BOOT_SIGNATURE_AT + 1 && head.readUInt16LE(BOOT_SIGNATURE_AT) === 0xaa55) return null;
  return ARCHIVES.find((it) => has(head, it))?.name ?? null;
}

/** How a claimed format is called in a sentence. */
export const CALLED: Record<ImageRef["disk_format"], string> = { raw: "raw", qcow2: "qcow2", iso: "ISO 9660" };
