/**
 * A disk as blocks of one size, each known by its SHA-256, and the streams that blocks travel on: the destination asks for
 * those that it lacks, several at a time on each stream, and they are answered in that order.
 *
 *   ask     disk u16 | block u32
 *   answer  length u32 | bytes
 */
import { hash } from "node:crypto";
import { once } from "node:events";
import type { FileHandle } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { Bandwidth } from "./bandwidth.ts";
import { onDisk } from "./disk-failure.ts";
import { CutOff, take } from "./take.ts";

export const BLOCK_BYTES = 1024 * 1024;
export const HASH_BYTES = 32;
const ASK_BYTES = 6;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

export const hashOf = (block: Uint8Array) => hash("sha256", block, "buffer");
export const isZero = (block: Buffer) => block.equals(ZEROS.subarray(0, block.length));
export const blocksOf = (size: number) => Math.ceil(size / BLOCK_BYTES);
/** How many bytes a block has: the last may have fewer. */
export const lengthOf = (size: number, block: number) => Math.min(BLOCK_BYTES, size - block * BLOCK_BYTES);

/** A block of a file into `buffer`, as far as the file goes. */
export async function readBlock(file: FileHandle, block: number, length: number, buffer: Buffer): Promise<Buffer> {
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, block * BLOCK_BYTES + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

export async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

/** The source's end of a stream of blocks, until the other end ends it; `sent` is told of each. */
export async function serveBlocks(
  stream: Duplex,
  disks: readonly { file: FileHandle; size: number }[],
  { bandwidth, signal, sent }: { bandwidth: Bandwidth; signal: AbortSignal; sent(bytes: number): void },
): Promise<void> {
  for (;;) {
    const ask = await take(stream, ASK_BYTES, signal);
    const disk = disks[ask.readUInt16BE(0)];
    const block = ask.readUInt32BE(2);
    if (!disk || block >= blocksOf(disk.size)) throw new Error("the other end asks for a block that there is not");
    const length = lengthOf(disk.size, block);
    const answer = Buffer.allocUnsafe(4 + length);
    answer.writeUInt32BE(length);
    // A disk that has become shorter is no disk at rest; its block will not have the hash that was said.
    const read = await onDisk(() => readBlock(disk.file, block, length, answer.subarray(4)));
    answer.fill(0, 4 + read.length);
    await bandwidth.wait(length, signal);
    if (!stream.write(answer)) await drained(stream);
    sent(length);
  }
}

/** Resolves when more can be written; rejects when the stream has ended. */
export async function drained(stream: Duplex): Promise<void> {
  if (stream.destroyed || !stream.writable) throw stream.errored ?? new CutOff("the stream was cut off");
  const over = new AbortController();
  const closed = () => over.abort();
  stream.once("close", closed);
  try {
    await once(stream, "drain", { signal: over.signal });
  } catch {
    throw stream.errored ?? new CutOff("the stream was cut off");
  } finally {
    stream.off("close", closed);
  }
}

type Asked = PromiseWithResolvers<Buffer> & { length: number };

/** The destination's end of one stream of blocks. */
export class BlockStream {
  readonly #stream: Duplex;
  readonly #signal: AbortSignal;
  readonly #asked: Asked[] = [];
  #reading = false;

  constructor(stream: Duplex, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
  }

  /** The bytes of a block, whatever they are. Rejects when the stream is cut off. */
  fetch(disk: number, block: number, length: number): Promise<Buffer> {
    const ask = Buffer.allocUnsafe(ASK_BYTES);
    ask.writeUInt16BE(disk);
    ask.writeUInt32BE(block, 2);
    this.#stream.write(ask);
    const asked = { ...Promise.withResolvers<Buffer>(), length };
    this.#asked.push(asked);
    if (!this.#reading) void this.#read();
    return asked.promise;
  }

  async #read(): Promise<void> {
    this.#reading = true;
    for (let next = this.#asked[0]; next; next = this.#asked[0]) {
      try {
        const length = (await take(this.#stream, 4, this.#signal)).readUInt32BE();
        if (length !== next.length) throw new Error("a block came that is not of the length that was asked for");
        next.resolve(await take(this.#stream, length, this.#signal));
      } catch (error) {
        this.#stream.destroy();
        next.reject(error);
      }
      this.#asked.shift();
    }
    this.#reading = false;
  }
}
