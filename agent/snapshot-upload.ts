/**
 * Brings one file to the edge, in parts: each is a request of its own, kept by the edge when it has all of it. What was
 * cut off goes on with the parts that the edge lacks, after a crash of either side too.
 *
 *   GET  /agent/v1/images/{id}/file           what the edge has, and how large its parts are
 *   PUT  /agent/v1/images/{id}/file/{number}  one part; again is once
 *   POST /agent/v1/images/{id}/file           all parts are there: the edge reads them back and compares the hash
 */
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { uploadEnd, uploadState } from "../functions/protocol/upload.ts";
import { backoff } from "./backoff.ts";
import { DriverError } from "./drivers/driver.ts";
import { networkReason } from "./failure.ts";
import type { ImageSource } from "./image-download.ts";
import { reportOf } from "./progress.ts";

/** Tries in a row that bring nothing, about four minutes: an edge is deployed anew in less. */
const RETRIES = 20;
/** A part that takes longer than this goes over a line that is dead. */
const PART_TIMEOUT_MS = 10 * 60_000;

/** The edge or the way to it failed: another attempt may do better. */
class Transient extends Error {}

export type Upload = { image: string; path: string };

/**
 * Resolves to the number of parts that were sent, when the edge has the whole file and its hash is right; none when it
 * had it before. Rejects with the signal's reason, or `DriverError`: ImageUnacceptable when the edge does not want the
 * image any more, Unexpected when the file is gone, or after 21 attempts in a row that brought nothing.
 */
export async function uploadSnapshot(upload: Upload, source: ImageSource, signal: AbortSignal): Promise<number> {
  const progress = { sent: 0 };
  for (let attempt = 0; ; attempt += 1) {
    const before = progress.sent;
    try {
      await uploadOnce(upload, source, signal, progress);
      return progress.sent;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof Transient)) throw error;
      if (progress.sent > before) attempt = 0;
      if (attempt >= RETRIES) {
        throw new DriverError("Unexpected", `image ${upload.image} could not be uploaded: ${error.message}`);
      }
      await sleep(backoff(attempt, source.retry), undefined, { signal });
    }
  }
}

async function uploadOnce(
  { image, path }: Upload,
  source: ImageSource,
  signal: AbortSignal,
  progress: { sent: number },
): Promise<void> {
  const ask = <T>(method: string, part: string, schema: z.ZodType<T>, body?: Uint8Array<ArrayBuffer>) =>
    request(source, { method, path: `${image}/file${part}`, ...(body && { body }) }, schema, signal);
  const state = await ask("GET", "", uploadState);
  if (state.active) return;
  const file = await open(path, "r").catch((cause: unknown) => {
    throw new DriverError("Unexpected", "the snapshot's file is gone", { cause });
  });
  try {
    const { size } = await file.stat();
    const has = new Set(state.parts);
    const buffer = new Uint8Array(state.part_bytes);
    const report = reportOf();
    for (let number = 1; (number - 1) * state.part_bytes < size; number += 1) {
      report("upload", { bytes: (number - 1) * state.part_bytes, of: size });
      if (has.has(number)) continue;
      const part = await partOf(file, (number - 1) * state.part_bytes, buffer);
      await ask("PUT", `/${number}`, z.unknown(), part);
      progress.sent += 1;
    }
    report("upload", { bytes: size, of: size });
  } finally {
    await file.close();
  }
  const { result } = await ask("POST", "", uploadEnd);
  // Bytes that change on the way are refused by TLS: the file is not what it was when it was taken.
  if (result === "mismatch") throw new DriverError("Unexpected", `image ${image} reached the edge with other bytes`);
  if (result === "gone") throw gone(image);
}

/** As many bytes from `position` as fit into `buffer`, or are left. */
async function partOf(file: FileHandle, position: number, buffer: Uint8Array<ArrayBuffer>) {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** One request, and its answer's JSON; every failure of the network is a `Transient`. */
async function request<T>(
  { identity }: ImageSource,
  asked: { method: string; path: string; body?: Uint8Array<ArrayBuffer> },
  schema: z.ZodType<T>,
  signal: AbortSignal,
): Promise<T> {
  const { method, path, body } = asked;
  const authorization = `Bearer ${await identity.assertion()}`;
  let text: string;
  try {
    const response = await fetch(`${identity.edge}/agent/v1/images/${path}`, {
      method,
      headers: { authorization, ...(body && { "content-type": "application/octet-stream" }) },
      ...(body && { body }),
      redirect: "manual", // an assertion is for the edge alone
      signal: method === "PUT" ? AbortSignal.any([signal, AbortSignal.timeout(PART_TIMEOUT_MS)]) : signal,
    });
    text = await response.text();
    if (!response.ok) throw refused(path, response.status);
  } catch (error) {
    if (error instanceof DriverError || error instanceof Transient) throw error;
    throw new Transient(networkReason(error));
  }
  const answer = schema.safeParse(json(text));
  if (!answer.success) throw new Transient("the edge's answer was cut off");
  return answer.data;
}

function json(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refused(path: string, status: number): Error {
  const image = path.slice(0, path.indexOf("/"));
  if (status === 404 || status === 410) return gone(image);
  const message = `the edge answered ${status}`;
  // 409: what it has is not what it had a moment ago; the next attempt asks.
  if (status >= 500 || status === 429 || status === 409) return new Transient(message);
  return new DriverError("Unexpected", `image ${image} could not be uploaded: ${message}`);
}

const gone = (image: string) => new DriverError("ImageUnacceptable", `image ${image} does not exist any more`);
