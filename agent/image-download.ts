/** Brings one image's bytes from the edge into an open file, and believes none of them. */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ImageRef } from "../functions/protocol/methods.ts";
import { type BackoffOptions, backoff } from "./backoff.ts";
import { DriverError } from "./drivers/driver.ts";
import { networkReason } from "./failure.ts";
import type { Identity } from "./identity.ts";

/** nova: glance.num_retries, with its default. */
const RETRIES = 3;

export type ImageSource = { identity: Pick<Identity, "edge" | "assertion">; retry?: BackoffOptions };

/** The edge or the way to it failed: another attempt may do better. */
class Transient extends Error {}

/**
 * Writes the image into `file`, which is empty; another attempt writes over the one before. Rejects with the signal's reason; with `DriverError` ImageUnacceptable
 * when the bytes are not those that `ref` names, InsufficientFreeDisk, or Unexpected after 4 attempts.
 */
export async function downloadImage(
  ref: ImageRef,
  file: FileHandle,
  source: ImageSource,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await downloadOnce(ref, file, source, signal);
      return;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof Transient)) throw error;
      if (attempt === RETRIES) {
        throw new DriverError("Unexpected", `image ${ref.id} could not be downloaded: ${error.message}`);
      }
      await sleep(backoff(attempt, source.retry), undefined, { signal });
    }
  }
}

async function downloadOnce(ref: ImageRef, file: FileHandle, source: ImageSource, signal: AbortSignal): Promise<void> {
  const hash = createHash("sha512");
  let bytes = 0;
  for await (const chunk of chunks(ref, source, signal)) {
    // Looked at before it is written: a wrong image must not fill the disk.
    if (bytes + chunk.byteLength > ref.size) throw unacceptable(ref, `is longer than its ${ref.size} bytes`);
    hash.update(chunk);
    for (let at = 0; at < chunk.byteLength; ) {
      at += (await file.write(chunk, at, chunk.byteLength - at, bytes + at)).bytesWritten;
    }
    bytes += chunk.byteLength;
  }
  if (bytes < ref.size) throw unacceptable(ref, `ended after ${bytes} of ${ref.size} bytes`);
  if (hash.digest("hex") !== ref.sha512) throw unacceptable(ref, "does not have its sha512");
}

/** The body of the answer; every failure of the network is a `Transient`. */
async function* chunks(ref: ImageRef, { identity }: ImageSource, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const authorization = `Bearer ${await identity.assertion()}`;
  try {
    const response = await fetch(`${identity.edge}/agent/v1/images/${ref.id}`, {
      headers: { authorization },
      redirect: "manual", // an assertion is for the edge alone
      signal,
    });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      throw refused(ref, response.status);
    }
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
