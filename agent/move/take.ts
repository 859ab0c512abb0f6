/** Reading a stream in pieces of a known length. Nobody else may read it meanwhile. */
import type { Readable } from "node:stream";

/** The stream has ended before what was due had come. */
export class CutOff extends Error {
  override name = "CutOff";
}

/** The next `length` bytes. Rejects with the signal's reason, what the stream failed with, or CutOff. */
export async function take(stream: Readable, length: number, signal?: AbortSignal): Promise<Buffer> {
  const taken = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length; ) {
    signal?.throwIfAborted();
    // No more than is there: a stream that is asked for more than it has says 'readable' again at once, for nothing.
    const bytes: Buffer | null = stream.read(Math.min(length - filled, stream.readableLength || 1));
    if (bytes !== null) filled += bytes.copy(taken, filled);
    else if (stream.readableEnded || stream.destroyed) throw stream.errored ?? new CutOff("the stream was cut off");
    else await more(stream, signal);
  }
  return taken;
}

const EVENTS = ["readable", "end", "close", "error"] as const;

function more(stream: Readable, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      for (const event of EVENTS) stream.off(event, wake);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    for (const event of EVENTS) stream.on(event, wake);
    signal?.addEventListener("abort", wake, { once: true });
  });
}
