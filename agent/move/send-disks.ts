/** The source's end of bringing a guest's disks to another host: announces every block, and gives those it is asked for. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type BackoffOptions, backoff } from "../backoff.ts";
import { DriverError, type GuestDisk } from "../drivers/driver.ts";
import { networkReason } from "../failure.ts";
import type { Log } from "../log.ts";
import { reportOf } from "../progress.ts";
import { BLOCK_BYTES, blocksOf, drained, hashOf, isZero, lengthOf, readBlock, serveBlocks } from "./blocks.ts";
import { isLasting, onDisk, reasonOf, Tries } from "./disk-failure.ts";
import {
  allMessage,
  BadMessage,
  blockMessage,
  disksMessage,
  endMessage,
  FROM_DESTINATION,
  FROM_SOURCE,
  failedMessage,
  lastWord,
  readProgress,
  readReason,
  zerosMessage,
} from "./disk-messages.ts";
import { newNonce } from "./handshake.ts";
import type { MoveLink } from "./moves.ts";
import { take } from "./take.ts";

/** Streams that blocks travel on: one connection alone seldom fills a long path. */
const STREAMS = 4;
/** So many blocks of zeros are announced at once, that the destination need not wait for more. */
const MAX_ZEROS = 1024;
const BACKOFF: BackoffOptions = { baseMs: 200, capMs: 5000 };

export type Transfer = {
  link: MoveLink;
  log: Log;
  signal: AbortSignal;
};
type OpenDisk = { name: string; file: FileHandle; size: number };

/** Resolves when the other host has every disk, to the bytes that travelled. Rejects with DriverError, or FileFailure. */
export async function sendDisks(disks: readonly GuestDisk[], transfer: Transfer): Promise<{ bytes: number }> {
  const { log, signal } = transfer;
  const tries = new Tries();
  let bytes = 0;
  const travelled = (count: number) => {
    bytes += count;
  };
  for (;;) {
    try {
      await sendOnce(disks, transfer, travelled);
      return { bytes };
    } catch (error) {
      signal.throwIfAborted();
      tries.failed(error, bytes);
      log("move.again", { message: networkReason(error), bytes });
      await sleep(backoff(tries.count, BACKOFF), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

async function sendOnce(
  disks: readonly GuestDisk[],
  transfer: Transfer,
  travelled: (bytes: number) => void,
): Promise<void> {
  const { link } = transfer;
  const over = new AbortController();
  const signal = AbortSignal.any([transfer.signal, over.signal]);
  const id = newNonce();
  const streams: Duplex[] = [];
  const opened: OpenDisk[] = [];
  const openStream = async (what: string) => {
    const stream = await link.open(`${what} ${id}`, signal);
    streams.push(stream);
    return stream;
  };
  try {
    const main = await openStream("disks");
    try {
      if (await answer(main, signal)) return;
      for (const { name, path } of disks) {
        const file = await onDisk(() => open(path, "r"));
        opened.push({ name, file, size: 0 });
      }
      for (const disk of opened) disk.size = (await onDisk(() => disk.file.stat())).size;
      const blocks = Array.from({ length: STREAMS }, async () =>
        serveBlocks(await openStream("blocks"), opened, { bandwidth: link.bandwidth, signal, sent: travelled }),
      );
      // The announcing ends before the answer comes, and the blocks never end by themselves.
      const announced = announce(main, opened, signal);
      const failed = Promise.race([...blocks, announced.then(() => new Promise<never>(() => undefined))]);
      failed.catch(() => undefined);
      for (let done = false; !done; ) done = await Promise.race([answer(main, signal), failed.then(() => false)]);
    } catch (error) {
      if (isLasting(error)) await lastWord(main, failedMessage(FROM_SOURCE.FAILED, reasonOf(error)));
      throw error;
    }
  } finally {
    over.abort(new Error("this try is over"));
    for (const stream of streams) stream.destroy();
    await Promise.all(opened.map(({ file }) => file.close()));
  }
}

/** Tells the other end of every block of every disk, in order. */
async function announce(main: Duplex, disks: readonly OpenDisk[], signal: AbortSignal): Promise<void> {
  const say = async (message: Buffer) => {
    signal.throwIfAborted();
    if (!main.write(message)) await drained(main);
  };
  await say(disksMessage(disks));
  const buffer = Buffer.allocUnsafe(BLOCK_BYTES);
  for (const { file, size } of disks) {
    const digest = createHash("sha256");
    const sayOfDisk = (message: Buffer) => {
      digest.update(message);
      return say(message);
    };
    let zeros = 0;
    const sayZeros = async () => {
      if (zeros > 0) await sayOfDisk(zerosMessage(zeros));
      zeros = 0;
    };
    for (let block = 0; block < blocksOf(size); block++) {
      const bytes = await onDisk(() => readBlock(file, block, lengthOf(size, block), buffer));
      if (isZero(bytes)) {
        zeros += 1;
        if (zeros === MAX_ZEROS) await sayZeros();
        continue;
      }
      await sayZeros();
      await sayOfDisk(blockMessage(hashOf(bytes)));
    }
    await sayZeros();
    await say(endMessage(digest.digest()));
  }
  await say(allMessage());
}

/** The other end's next word: whether it has everything. Rejects with what it failed with. */
async function answer(main: Duplex, signal: AbortSignal): Promise<boolean> {
  const type = (await take(main, 1, signal)).readUInt8();
  switch (type) {
    case FROM_DESTINATION.WANT:
      return false;
    case FROM_DESTINATION.PROGRESS:
      reportOf()("disk", await readProgress(main, signal));
      return false;
    case FROM_DESTINATION.DONE:
      return true;
    case FROM_DESTINATION.FAILED:
      throw new DriverError(
        "MigrationError",
        `the other host could not take the disks: ${await readReason(main, signal)}`,
      );
    default:
      throw new BadMessage(`a message of type ${type} came`);
  }
}
