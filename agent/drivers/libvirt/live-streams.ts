/** What the two ends of a live migration tell each other beside what they carry, each in a stream of its own. */
import type { FileHandle } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { DriverError } from "../driver.ts";

/** The destination tells, in a line of JSON, where the guest is to come. */
export const ABOUT = "about";
/** The source sends a file that the migration does not bring: its length as 64 bits, its bytes; then comes a line. */
export const FILE = "file:";

const path = z.string().startsWith("/").max(4096);
/** `uri` is of the destination's libvirt; `sockets` the folder of the migration's sockets. */
const arrival = z.object({
  uri: z.enum(["qemu:///system", "qemu:///session"]),
  sockets: path,
  folder: path,
  base: path,
});
export type Arrival = { uri: string } & Omit<z.infer<typeof arrival>, "uri">;

const MAX_LINE_CHARS = 65_536;
const LENGTH_BYTES = 8;
/** nova: the largest config drive, and more. */
const MAX_FILE_BYTES = 256 << 20;

const unclear = (cause?: unknown) =>
  new DriverError("MigrationError", "the other host's answer cannot be understood", { cause });

/** The one line that the other end sends. */
async function readLine(stream: Duplex): Promise<string> {
  stream.on("error", () => undefined);
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const line of lines) {
      if (line.length <= MAX_LINE_CHARS) return line;
      break;
    }
  } finally {
    lines.close();
    stream.destroy();
  }
  throw unclear();
}

export async function readArrival(stream: Duplex): Promise<Arrival> {
  const line = await readLine(stream);
  try {
    return arrival.parse(JSON.parse(line));
  } catch (error) {
    throw unclear(error);
  }
}

/** Resolves when the other end has it. */
export async function sendFile(stream: Duplex, file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  const head = Buffer.alloc(LENGTH_BYTES);
  head.writeBigUInt64BE(BigInt(size));
  stream.on("error", () => undefined);
  stream.write(head);
  await pipeline(file.createReadStream({ autoClose: false }), stream, { end: false });
  // Read no earlier: the other end knows the length, and may answer before this one has seen the end of the file.
  await readLine(stream);
}

/** Rejects when the stream ends before the file does, or the file is too long. */
export async function receiveFile(stream: Duplex, file: FileHandle): Promise<void> {
  let head = Buffer.alloc(0);
  let left: number | undefined;
  // The stream is to be answered after that.
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    let bytes: Buffer = chunk;
    if (left === undefined) {
      head = Buffer.concat([head, bytes]);
      if (head.length < LENGTH_BYTES) continue;
      left = Number(head.readBigUInt64BE());
      if (left > MAX_FILE_BYTES) throw unclear();
      bytes = head.subarray(LENGTH_BYTES);
    }
    if (bytes.length > left) throw unclear();
    await file.writeFile(bytes);
    left -= bytes.length;
    if (left === 0) return;
  }
  throw unclear();
}
