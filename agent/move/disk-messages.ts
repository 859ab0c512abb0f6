/**
 * What the two ends say of the disks of a move, in a stream of its own; the blocks themselves travel in others.
 *
 *   source                                        destination
 *     | <------------------------------------- WANT | or DONE, when an earlier try brought everything
 *     | -- DISKS names, sizes ---------------------> |
 *     | -- of each disk ZEROS, BLOCK ... END ------> |   asks for the blocks that it has not (blocks.ts)
 *     | <-- PROGRESS ------------------------------- |   now and then
 *     | <------------------------------------ DONE   |   every disk is there, and synced
 *     | <---------------- FAILED why --------------> |   trying again is of no use
 */
import type { Duplex } from "node:stream";
import { HASH_BYTES } from "./blocks.ts";
import { take } from "./take.ts";

export const FROM_SOURCE = { DISKS: 1, ZEROS: 2, BLOCK: 3, END: 4, ALL: 5, FAILED: 6 } as const;
export const FROM_DESTINATION = { WANT: 1, PROGRESS: 2, DONE: 3, FAILED: 4 } as const;

const LAST_WORD_MS = 2000;
const MAX_DISKS = 32;
const MAX_REASON_BYTES = 512;
/** As of a file in a guest's folder: no path, and none that is hidden. */
const NAME = /^[a-z0-9_][a-z0-9._-]{0,63}$/;

export type DiskHeader = { name: string; size: number };
/** The other end says what it must not. */
export class BadMessage extends Error {
  override name = "BadMessage";
}

export function disksMessage(disks: readonly DiskHeader[]): Buffer {
  const parts = disks.map(({ name, size }) => {
    const bytes = Buffer.alloc(1 + name.length + 8);
    bytes.writeUInt8(name.length);
    bytes.write(name, 1, "latin1");
    bytes.writeBigUInt64BE(BigInt(size), 1 + name.length);
    return bytes;
  });
  return Buffer.concat([Buffer.from([FROM_SOURCE.DISKS, disks.length]), ...parts]);
}

/** What follows the type of DISKS. */
export async function readDisks(stream: Duplex, signal: AbortSignal): Promise<DiskHeader[]> {
  const count = (await take(stream, 1, signal)).readUInt8();
  if (count > MAX_DISKS) throw new BadMessage(`a guest with ${count} disks was announced`);
  const disks: DiskHeader[] = [];
  for (let at = 0; at < count; at++) {
    const length = (await take(stream, 1, signal)).readUInt8();
    const name = (await take(stream, length, signal)).toString("latin1");
    const size = Number((await take(stream, 8, signal)).readBigUInt64BE());
    const known = disks.some((disk) => disk.name === name);
    if (!NAME.test(name) || known || !Number.isSafeInteger(size)) throw new BadMessage("a disk was announced wrongly");
    disks.push({ name, size });
  }
  return disks;
}

export function zerosMessage(count: number): Buffer {
  const bytes = Buffer.from([FROM_SOURCE.ZEROS, 0, 0, 0, 0]);
  bytes.writeUInt32BE(count, 1);
  return bytes;
}

export const blockMessage = (hash: Uint8Array) => Buffer.concat([Buffer.from([FROM_SOURCE.BLOCK]), hash]);
/** `digest` is of every message of the disk before. */
export const endMessage = (digest: Uint8Array) => Buffer.concat([Buffer.from([FROM_SOURCE.END]), digest]);
export const allMessage = () => Buffer.from([FROM_SOURCE.ALL]);

export const readZeros = async (stream: Duplex, signal: AbortSignal) => (await take(stream, 4, signal)).readUInt32BE();
export const readHash = (stream: Duplex, signal: AbortSignal) => take(stream, HASH_BYTES, signal);

/** How many bytes of how many are right at the destination. */
export function progressMessage(bytes: number, of: number): Buffer {
  const message = Buffer.alloc(1 + 8 + 8);
  message.writeUInt8(FROM_DESTINATION.PROGRESS);
  message.writeBigUInt64BE(BigInt(bytes), 1);
  message.writeBigUInt64BE(BigInt(of), 1 + 8);
  return message;
}

export async function readProgress(stream: Duplex, signal: AbortSignal): Promise<{ bytes: number; of: number }> {
  const counts = await take(stream, 8 + 8, signal);
  return { bytes: Number(counts.readBigUInt64BE()), of: Number(counts.readBigUInt64BE(8)) };
}

export function failedMessage(type: number, why: string): Buffer {
  const reason = Buffer.from(why).subarray(0, MAX_REASON_BYTES);
  const head = Buffer.from([type, 0, 0]);
  head.writeUInt16BE(reason.length, 1);
  return Buffer.concat([head, reason]);
}

/** Says the last that is to be said on a stream; resolves when it has gone out, or cannot. */
export function lastWord(stream: Duplex, message: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (!stream.writable) return resolve();
    const timer = setTimeout(resolve, LAST_WORD_MS);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    stream.once("close", done);
    stream.end(message, done);
  });
}

export async function readReason(stream: Duplex, signal: AbortSignal): Promise<string> {
  const length = (await take(stream, 2, signal)).readUInt16BE();
  if (length > MAX_REASON_BYTES) throw new BadMessage("too long a reason was given");
  // It is shown to people: one line, and nothing that moves a cursor.
  return (await take(stream, length, signal)).toString().replaceAll(/\p{Cc}+/gu, " ");
}
