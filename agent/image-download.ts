/** Brings one image's bytes from the edge into an open file, and believes none of them. */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ImageRef } from "../functions/protocol/methods.ts";
import { type BackoffOptions, backoff } from "./backoff.ts";
import { DriverError } from "./drivers/driver.ts";
import { networkReason } from "./failure.ts";
import type { Identity } from "./identity.ts";

/** Tries in a row that bring nothing, about four minutes: an edge that restarts is back in less (nova: glance.num_retries). */
const RETRIES = 20;

export type ImageSource = { identity: Pick<Identity, "edge" | "assertion">; retry?: BackoffOptions };

/** The edge or the way to it failed: another attempt may do better. */
class Transient extends Error {}

/** How far the download has come: what is in the file, its hash so far, and who is told. */
type Progress = { bytes: number; hash: Hash; heard(bytes: number): void };

/**
 * Writes the image into `file`, which is empty; an attempt goes on where the one before broke off. `heard` is told of
 * every chunk how many bytes there are. Rejects with the
 * signal's reason; with `DriverError` ImageUnacceptable when the bytes are not those that `ref` names,
 * InsufficientFreeDisk, or Unexpected after 21 attempts in a row that brought nothing.
 */
export async function downloadImage(
  ref: ImageRef,
  file: FileHandle,
  source: ImageSource,
  signal: AbortSignal,
  heard: (bytes: number) => void = () => undefined,
): Promise<void> {
  const progress: Progress = { bytes: 0, hash: createHash("sha512"), heard };
  for (let attempt = 0; ; attempt += 1) {
    const before = progress.bytes;
    try {
      await downloadOnce(ref, file, source, signal, progress);
      break;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof Transient)) throw error;
      if (progress.bytes > before) attempt = 0;
      if (attempt === RETRIES) {
        throw new DriverError("Unexpected", `image ${ref.id} could not be downloaded: ${error.message}`);
      }
      await sleep(backoff(attempt, source.retry), undefined, { signal });
    }
  }
  if (progress.bytes < ref.size) throw unacceptable(ref, `ended after ${progress.bytes} of ${ref.size} bytes`);
  if (progress.hash.digest("hex") !== ref.sha512) throw unacceptable(ref, "does not have its sha512");
}

async function downloadOnce(
  ref: ImageRef,
  file: FileHandle,
  source: ImageSource,
  signal: AbortSignal,
  progress: Progress,
): Promise<void> {
  for await (const chunk of chunks(ref, source, signal, progress)) {
    // Looked at before it is written: a wrong image must not fill the disk.
    if (progress.bytes + chunk.byteLength > ref.size) throw unacceptable(ref, `is longer than its ${ref.size} bytes`);
    for (let at = 0; at < chunk.byteLength; ) {
      at += (await file.write(chunk, at, chunk.byteLength - at, progress.bytes + at)).bytesWritten;
    }
    progress.hash.update(chunk);
    progress.bytes += chunk.byteLength;
    progress.heard(progress.bytes);
  }
}

/**
 * The bytes that `progress` lacks; all of them, and `progress` back at nothing, when the edge has no part to give.
 * Every failure of the network is a `Transient`.
 */
async function* chunks(
  ref: ImageRef,
  { identity }: ImageSource,
  signal: AbortSignal,
  progress: Progress,
): AsyncGenerator<Uint8Array> {
  const from = progress.bytes;
  const authorization = `Bearer ${await identity.assertion()}`;
  try {
    const response = await fetch(`${identity.edge}/agent/v1/images/${ref.id}`, {
      headers: { authorization, ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
      redirect: "manual", // an assertion is for the edge alone
      signal,
    });
    if ((response.status !== 200 && response.status !== 206) || response.body === null) {
      await response.body?.cancel();
      throw refused(ref, response.status);
    }
    if (response.status === 200) Object.assign(progress, { bytes: 0, hash: createHash("sha512") });
    yield* response.body;
  } catch (error) {
    throw error instanceof DriverError || error instanceof Transient ? error : new Transient(networkReason(error));
  }
}

function refused(ref: ImageRef, status: number): Error {
  if (status === 404 || status === 410) return unacceptable(ref, "does not exist any more");
  const message = `the edge answered ${status}`;
  if (status >= 500 || status === 429) return new Transient(message);
  return new DriverError("Unexpected", `image ${ref.id} could not be downloaded: ${message}`);
}

function unacceptable(ref: ImageRef, what: string): DriverError {
  return new DriverError("ImageUnacceptable", `image ${ref.id} ${what}`);
}

/** The hash of a file, in hex. Rejects with the signal's reason. */
export async function sha512Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha512");
  try {
    for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 })) hash.update(chunk);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
  return hash.digest("hex");
}
