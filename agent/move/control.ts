/**
 * The first stream of a move, by which its ends tell each other of the others: one line of JSON for each that is opened.
 * Both say something now and then, so that each knows that the other is there.
 */
import type { Duplex } from "node:stream";
import { z } from "zod";
import { MAX_MOVE_STREAMS } from "../../functions/protocol/move.ts";

const PING_MS = 10_000;
/** After so long a silence the other end is gone. */
const SILENCE_MS = 35_000;
const MAX_LINE_BYTES = 1024;
const MAX_WAITING_BYTES = 64 * 1024;

const message = z.discriminatedUnion("t", [
  z.object({ t: z.literal("ping") }),
  /** The sender waits for the other end in this stream. */
  z.object({
    t: z.literal("open"),
    stream: z
      .int()
      .min(1)
      .max(MAX_MOVE_STREAMS - 1),
    nonce: z.string().regex(/^[0-9a-f]{16}$/),
    kind: z.string().min(1).max(64),
  }),
]);
type Message = z.infer<typeof message>;
export type OpenMessage = Extract<Message, { t: "open" }>;

export type Control = { send(message: Message): void; ended: Promise<void> };

/** Speaks over `stream` until either end destroys it, or the other says what it must not. */
export function control(stream: Duplex, onOpen: (open: OpenMessage) => void): Control {
  let heardAt = performance.now();
  let line: Buffer[] = [];
  let lineBytes = 0;
  const hear = (bytes: Buffer) => {
    lineBytes += bytes.length;
    if (lineBytes > MAX_LINE_BYTES) return void stream.destroy();
    line.push(bytes);
  };
  const heard = () => {
    const said = message.safeParse(json(Buffer.concat(line).toString()));
    line = [];
    lineBytes = 0;
    if (!said.success) return void stream.destroy();
    if (said.data.t === "open") onOpen(said.data);
  };
  stream.on("data", (bytes: Buffer) => {
    heardAt = performance.now();
    let at = 0;
    for (let end = bytes.indexOf(10); end >= 0 && !stream.destroyed; end = bytes.indexOf(10, at)) {
      hear(bytes.subarray(at, end));
      at = end + 1;
      heard();
    }
    if (at < bytes.length) hear(bytes.subarray(at));
  });
  const send = (said: Message) => {
    if (!stream.writable) return;
    stream.write(`${JSON.stringify(said)}\n`);
    // An end that reads nothing is as good as gone.
    if (stream.writableLength > MAX_WAITING_BYTES) stream.destroy();
  };
  const timer = setInterval(() => {
    if (performance.now() - heardAt > SILENCE_MS) stream.destroy();
    else send({ t: "ping" });
  }, PING_MS);
  const ended = new Promise<void>((resolve) => {
    stream.once("end", () => stream.destroy());
    stream.once("close", () => {
      clearInterval(timer);
      resolve();
    });
    if (stream.destroyed) {
      clearInterval(timer);
      resolve();
    }
  });
  return { send, ended };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
