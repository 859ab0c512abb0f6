/**
 * A viewer that counts and does nothing else. At full speed a whole WebSocket library in the viewer costs more than
 * all of the path that is to be measured, and would be the limit: here are no copies, and one buffer for all reads.
 */
import { connect, type Socket } from "node:net";
import { HELLO, orderText, WELCOME } from "../rfb-peers.ts";

const READ_BYTES = 256 * 1024;
const OPEN_TIMEOUT_MS = 30_000;
/** RFC 6455 §5.2. */
const BINARY_FINAL = 0x82;
const OPCODE_CLOSE = 8;
const MASKED = 0x80;

export type Pushed = { arrived: number; seconds: number /** Of an end before all had come. */; code: number | null };

/** Opens a session, orders `bytes` and resolves when they have come or the session has ended. */
export function pull(url: string, bytes: number): Promise<Pushed> {
  const { hostname, port, pathname, search } = new URL(url);
  const head = [
    `GET ${pathname}${search} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: binary",
    `Sec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}`,
  ];
  return new Promise((resolve, reject) => {
    const frames = new FrameCounter(WELCOME.length + bytes);
    let upgraded = "";
    let greeted = false;
    let startedMs = 0;
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      const arrived = Math.max(0, frames.payload - WELCOME.length);
      const seconds = (performance.now() - startedMs) / 1000;
      if (startedMs === 0) reject(new Error(`the screen did not open: ${upgraded.slice(0, 100)}`));
      else resolve({ arrived, seconds, code: arrived < bytes ? frames.code : null });
    };
    const onBytes = (chunk: Buffer) => {
      let rest = chunk;
      if (!upgraded.includes("\r\n\r\n")) {
        const before = upgraded.length;
        upgraded += chunk.toString("latin1");
        const end = upgraded.indexOf("\r\n\r\n");
        if (end === -1) return;
        rest = chunk.subarray(end + 4 - before);
        upgraded = upgraded.slice(0, end + 4);
      }
      frames.take(rest);
      if (!greeted && frames.payload > 0) {
        greeted = true;
        send(socket, HELLO);
      }
      if (startedMs === 0 && frames.payload >= WELCOME.length) {
        startedMs = performance.now();
        send(socket, orderText(bytes));
      }
      if (frames.done) finish();
    };
    const socket = connect({
      host: hostname,
      port: Number(port),
      noDelay: true,
      onread: {
        buffer: Buffer.alloc(READ_BYTES),
        callback(length, buffer) {
          onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          return true;
        },
      },
    });
    const timer = setTimeout(finish, OPEN_TIMEOUT_MS);
    socket.once("error", () => undefined);
    socket.once("close", finish);
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
  });
}

/** Counts the payload of unmasked frames, whichever way they are cut. */
class FrameCounter {
  payload = 0;
  /** Of the close frame; 1006 until there is one. */
  code = 1006;
  readonly #expected: number;
  #head: number[] = [];
  #left = 0;
  #closing: number[] | null = null;

  constructor(expected: number) {
    this.#expected = expected;
  }

  get done(): boolean {
    return this.payload >= this.#expected || this.code !== 1006;
  }

  take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        this.#head.push(chunk[at++] ?? 0);
        this.#begin();
        continue;
      }
      const some = Math.min(this.#left, chunk.length - at);
      if (this.#closing === null) this.payload += some;
      else this.#close(chunk.subarray(at, at + some));
      this.#left -= some;
      at += some;
    }
  }

  #begin(): void {
    const [first = 0, second = 0, ...size] = this.#head;
    const sizeBytes = second === 126 ? 2 : second === 127 ? 8 : 0;
    if (this.#head.length < 2 + sizeBytes) return;
    this.#left = sizeBytes === 0 ? second : size.reduce((sum, byte) => sum * 256 + byte, 0);
    this.#closing = (first & 0x0f) === OPCODE_CLOSE ? [] : null;
    this.#head = [];
  }

  #close(bytes: Buffer): void {
    this.#closing?.push(...bytes);
    const [high, low] = this.#closing ?? [];
    if (high !== undefined && low !== undefined) this.code = high * 256 + low;
  }
}

/** One frame with a mask of zeros, which is a mask. */
function send(socket: Socket, payload: Buffer): void {
  socket.write(Buffer.concat([Buffer.from([BINARY_FINAL, MASKED | payload.length, 0, 0, 0, 0]), payload]));
}
