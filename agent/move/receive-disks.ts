/**
 * The destination's end of bringing a guest's disks from another host: compares what is announced with what an earlier try
 * has left here, asks for the rest, and writes only what has the hash that was announced. Zeros stay holes.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { DriverError } from "../drivers/driver.ts";
import { networkReason } from "../failure.ts";
import type { Log } from "../log.ts";
import { type Report, reportOf } from "../progress.ts";
import { syncDirectory } from "../state-dir.ts";
import { BLOCK_BYTES, BlockStream, blocksOf, hashOf, isZero, lengthOf, readBlock, writeAll } from "./blocks.ts";
import { isLasting, onDisk, reasonOf, Tries } from "./disk-failure.ts";
import {
  BadMessage,
  blockMessage,
  type DiskHeader,
  FROM_DESTINATION,
  FROM_SOURCE,
  failedMessage,
  lastWord,
  progressMessage,
  readDisks,
  readHash,
  readReason,
  readZeros,
  zerosMessage,
} from "./disk-messages.ts";
import type { Link } from "./link.ts";
import { take } from "./take.ts";

/** Blocks that are asked for at a time on each stream, so that none of them waits for a way there and back. */
const DEPTH = 2;
/** A block that comes wrong so often is wrong where it comes from. */
const BLOCK_TRIES = 3;
const TELL_MS = 500;

export type Reception = {
  link: Pick<Link, "onStream" | "whenUp" | "whenDown">;
  /** Where a disk is to be written, once there is room for it. */
  pathOf(name: string): string;
  log: Log;
  signal: AbortSignal;
};

/**
 * Resolves when every disk is here, to the bytes that travelled; whoever asks after that is told so. Rejects with
 * DriverError, or FileFailure.
 */
export async function receiveDisks(reception: Reception): Promise<{ bytes: number }> {
  const { link, log } = reception;
  // Streams come outside of the call that this is.
  const report = reportOf();
  const finished = Promise.withResolvers<{ bytes: number }>();
  const over = new AbortController();
  const signal = AbortSignal.any([reception.signal, over.signal]);
  const tries = new Tries();
  let bytes = 0;
  let complete = false;
  let current: Receiving | undefined;
  // One after the other: they write the same files.
  let last: Promise<void> = Promise.resolve();

  const receive = async (receiving: Receiving) => {
    try {
      await receiving.run();
      complete = true;
      finished.resolve({ bytes });
    } catch (error) {
      log("move.again", { message: networkReason(error), bytes });
      try {
        tries.failed(error, bytes);
      } catch (lasting) {
        finished.reject(lasting);
      }
    }
  };
  link.onStream((kind, stream) => {
    const [what, id = ""] = kind.split(" ");
    if (what === "blocks" && current?.id === id) return current.add(stream);
    if (what !== "disks") return void stream.destroy();
    current?.end();
    const receiving = new Receiving(id, stream, {
      ...reception,
      signal,
      report,
      travelled: (count) => (bytes += count),
    });
    current = receiving;
    last = last.then(() => (complete ? receiving.refuse() : receive(receiving)));
  });
  watch(link, signal).catch((error: unknown) => finished.reject(signal.aborted ? signal.reason : error));
  try {
    return await finished.promise;
  } catch (error) {
    over.abort(error);
    await last;
    throw error;
  } finally {
    over.abort(new Error("the disks are here"));
  }
}

/** Tells a source that comes from now on that it comes for nothing. */
export function refuseDisks(link: Pick<Link, "onStream">, why: unknown): void {
  link.onStream((kind, stream) => {
    if (kind.startsWith("disks ")) void lastWord(stream, failedMessage(FROM_DESTINATION.FAILED, reasonOf(why)));
    else stream.destroy();
  });
}

/** Rejects when the other host has been away for too long. */
async function watch(link: Reception["link"], signal: AbortSignal): Promise<never> {
  for (;;) {
    await link.whenUp(signal);
    await link.whenDown(signal);
  }
}

type Options = Reception & { report: Report; travelled(bytes: number): void };

/** One try. */
class Receiving {
  readonly id: string;
  readonly #main: Duplex;
  readonly #options: Options;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Streams that another block may be asked for on, each as often as it may. */
  readonly #lanes: BlockStream[] = [];
  readonly #waiting: ((lane: BlockStream) => void)[] = [];
  readonly #streams: Duplex[] = [];
  readonly #pending = new Set<Promise<void>>();
  #right = 0;
  #of = 0;
  #toldAt = 0;

  constructor(id: string, main: Duplex, options: Options) {
    this.id = id;
    this.#main = main;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#over.signal]);
    this.#streams.push(main);
  }

  /** Takes one more stream that blocks can come on. */
  add(stream: Duplex): void {
    this.#streams.push(stream);
    if (this.#signal.aborted) return void stream.destroy();
    const lane = new BlockStream(stream, this.#signal);
    for (let at = 0; at < DEPTH; at++) this.#free(lane);
  }

  end(): void {
    this.#over.abort(new Error("the other end has begun anew"));
  }

  /** For when all is here: there is no more to do. */
  refuse(): void {
    this.#main.write(Buffer.from([FROM_DESTINATION.DONE]));
  }

  async run(): Promise<void> {
    try {
      await this.#receive();
    } catch (error) {
      this.#over.abort(error);
      // What was first: all else that fails, fails because of it.
      const { reason } = this.#over.signal;
      if (isLasting(reason)) await lastWord(this.#main, failedMessage(FROM_DESTINATION.FAILED, reasonOf(reason)));
      await Promise.allSettled(this.#pending);
      for (const stream of this.#streams) stream.destroy();
      throw reason;
    }
  }

  async #receive(): Promise<void> {
    this.#main.write(Buffer.from([FROM_DESTINATION.WANT]));
    await this.#expect(FROM_SOURCE.DISKS);
    const disks = await readDisks(this.#main, this.#signal);
    this.#of = disks.reduce((sum, { size }) => sum + size, 0);
    for (const [at, disk] of disks.entries()) await this.#disk(at, disk);
    await this.#expect(FROM_SOURCE.ALL);
    this.#main.write(Buffer.from([FROM_DESTINATION.DONE]));
  }

  async #disk(number: number, { name, size }: DiskHeader): Promise<void> {
    const path = this.#options.pathOf(name);
    const { file, fresh } = await onDisk(() => openDisk(path, size));
    const has = async (block: number) =>
      fresh ? null : onDisk(() => readBlock(file, block, lengthOf(size, block), Buffer.allocUnsafe(BLOCK_BYTES)));
    const digest = createHash("sha256");
    let block = 0;
    try {
      for (;;) {
        const type = await this.#type();
        if (type === FROM_SOURCE.END) break;
        if (type === FROM_SOURCE.ZEROS) {
          const count = await readZeros(this.#main, this.#signal);
          digest.update(zerosMessage(count));
          if (count > blocksOf(size) - block) throw new BadMessage("more blocks were announced than there are");
          for (const end = block + count; block < end; block++) {
            const had = await has(block);
            if (had !== null && !isZero(had))
              await onDisk(() => writeAll(file, Buffer.alloc(had.length), block * BLOCK_BYTES));
            this.#isRight(lengthOf(size, block));
          }
        } else if (type === FROM_SOURCE.BLOCK) {
          const hash = await readHash(this.#main, this.#signal);
          digest.update(blockMessage(hash));
          if (block >= blocksOf(size)) throw new BadMessage("more blocks were announced than there are");
          const had = await has(block);
          if (had !== null && hashOf(had).equals(hash)) this.#isRight(had.length);
          else await this.#bring({ number, name, size, file, block, hash });
          block += 1;
        } else throw new BadMessage(`a message of type ${type} came`);
      }
      if (block !== blocksOf(size)) throw new BadMessage("fewer blocks were announced than there are");
      const announced = await readHash(this.#main, this.#signal);
      await Promise.all(this.#pending);
      if (!digest.digest().equals(announced)) throw new BadMessage("the announcement has another digest than was said");
      await onDisk(async () => {
        await file.sync();
        syncDirectory(dirname(path));
      });
    } finally {
      await Promise.allSettled(this.#pending);
      await file.close();
    }
  }

  /** Resolves when the block is being brought, which is when a stream is free for it. */
  async #bring(wanted: Wanted): Promise<void> {
    const lane = await this.#lane();
    const bringing = this.#fetch(lane, wanted)
      .finally(() => this.#free(lane))
      .finally(() => this.#pending.delete(bringing));
    this.#pending.add(bringing);
    bringing.catch((error: unknown) => this.#over.abort(error));
  }

  async #fetch(lane: BlockStream, { number, name, size, file, block, hash }: Wanted): Promise<void> {
    const length = lengthOf(size, block);
    for (let tried = 1; ; tried++) {
      const bytes = await lane.fetch(number, block, length);
      this.#options.travelled(length);
      if (hashOf(bytes).equals(hash)) {
        await onDisk(() => writeAll(file, bytes, block * BLOCK_BYTES));
        return this.#isRight(length);
      }
      this.#options.log("move.wrong_block", { disk: name, block, tried });
      if (tried < BLOCK_TRIES) continue;
      const message = `block ${block} of ${name} came ${tried} times with other bytes than were announced`;
      throw new DriverError("MigrationError", message);
    }
  }

  async #lane(): Promise<BlockStream> {
    this.#signal.throwIfAborted();
    const lane = this.#lanes.shift();
    if (lane) return lane;
    const { promise, resolve, reject } = Promise.withResolvers<BlockStream>();
    const aborted = () => reject(this.#signal.reason);
    this.#signal.addEventListener("abort", aborted, { once: true });
    this.#waiting.push(resolve);
    try {
      return await promise;
    } finally {
      this.#signal.removeEventListener("abort", aborted);
    }
  }

  #free(lane: BlockStream): void {
    const next = this.#waiting.shift();
    if (next) next(lane);
    else this.#lanes.push(lane);
  }

  #isRight(bytes: number): void {
    this.#right += bytes;
    this.#options.report("disk", { bytes: this.#right, of: this.#of });
    if (performance.now() - this.#toldAt < TELL_MS || this.#main.writableNeedDrain) return;
    this.#toldAt = performance.now();
    this.#main.write(progressMessage(this.#right, this.#of));
  }

  async #type(): Promise<number> {
    const type = (await take(this.#main, 1, this.#signal)).readUInt8();
    if (type !== FROM_SOURCE.FAILED) return type;
    const reason = await readReason(this.#main, this.#signal);
    throw new DriverError("MigrationError", `the other host could not give the disks: ${reason}`);
  }

  async #expect(type: number): Promise<void> {
    const came = await this.#type();
    if (came !== type) throw new BadMessage(`a message of type ${came} came where ${type} is due`);
  }
}

type Wanted = { number: number; name: string; size: number; file: FileHandle; block: number; hash: Buffer };

/** Opens what an earlier try has left, or makes it; of its size, so that what is never written is a hole. */
async function openDisk(path: string, size: number): Promise<{ file: FileHandle; fresh: boolean }> {
  const file = await open(path, "r+").catch(() => open(path, "wx+", 0o600));
  try {
    const fresh = (await file.stat()).size === 0;
    await file.truncate(size);
    return { file, fresh };
  } catch (error) {
    await file.close();
    throw error;
  }
}
