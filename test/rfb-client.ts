/**
 * A small RFB client for tests (RFC 6143), over anything that carries bytes: a socket, a WebSocket, a pair of streams.
 *
 *   const client = new RfbClient((bytes) => socket.send(bytes));
 *   socket.onmessage = ({ data }) => client.feed(data);
 *   socket.onclose = () => client.closed();
 *   await client.ready();
 *   client.watch();
 *   await client.waitForScreen((screen) => screen.rgb(0, 0) === 0x131a27);
 *
 * Every wait is level-triggered: it is asked again at each change, and rejects with a message at its time-out.
 */
import type { Duplex } from "node:stream";
import { constants, createInflate } from "node:zlib";
import { encodePixelFormat, type PixelFormat } from "../agent/drivers/fake/pixel-format.ts";
import { ByteFeed, type Reading } from "../agent/rfb/byte-feed.ts";
import { type Rect, RfbScreen } from "./rfb-screen.ts";

export const RAW = 0;
export const ZRLE = 16;
export const QEMU_EXTENDED_KEY = -258;

/** Red, green, blue in the order of an RGBA buffer; the one format that `drawZrle` reads. */
export const RGBA_FORMAT: PixelFormat = {
  bitsPerPixel: 32,
  depth: 24,
  bigEndian: false,
  redMax: 255,
  greenMax: 255,
  blueMax: 255,
  redShift: 0,
  greenShift: 8,
  blueShift: 16,
};

export type RfbClientOptions = {
  /** 3.3, 3.7 or 3.8 (default). */
  version?: "003" | "007" | "008";
  /** In order of preference; Raw only by default. */
  encodings?: number[];
  format?: PixelFormat;
  timeoutMs?: number;
};

type Waiter = { check: () => boolean; resolve: () => void; reject: (error: Error) => void };

export class RfbClient {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #options: RfbClientOptions;
  readonly #feed: ByteFeed;
  readonly #waiters = new Set<Waiter>();
  readonly #inflate = createInflate({ finishFlush: constants.Z_SYNC_FLUSH });
  #inflated: Buffer = Buffer.alloc(0);
  #format: PixelFormat;
  #screen: RfbScreen | null = null;
  #watching = false;
  #applying: Promise<void> = Promise.resolve();
  #error: Error | null = null;
  #ended = false;
  /** FramebufferUpdates received and drawn. */
  updates = 0;
  /** All bytes received. */
  bytes = 0;
  /** The server has told that it knows QEMU's extended key event. */
  extendedKeys = false;

  constructor(write: (bytes: Uint8Array) => void, options: RfbClientOptions = {}) {
    this.#write = write;
    this.#options = options;
    this.#format = options.format ?? RGBA_FORMAT;
    this.#inflate.on("data", (piece: Buffer) => {
      this.#inflated = Buffer.concat([this.#inflated, piece]);
    });
    this.#feed = new ByteFeed(this.#converse());
  }

  static over(stream: Duplex, options: RfbClientOptions = {}): RfbClient {
    const client = new RfbClient((bytes) => stream.write(bytes), options);
    stream.on("data", (chunk: Buffer) => client.feed(chunk));
    stream.on("error", () => client.closed());
    stream.on("close", () => client.closed());
    return client;
  }

  /** Bytes from the server, cut anywhere. What is wrong with them makes every wait reject. */
  feed(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    try {
      this.#feed.push(Buffer.from(bytes));
    } catch (error) {
      this.#error = error as Error;
    }
    this.#recheck();
  }

  /** The transport has ended. */
  closed(): void {
    this.#ended = true;
    this.#recheck();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The screen so far; throws before ServerInit. */
  get screen(): RfbScreen {
    if (!this.#screen) throw new Error("the handshake is not done");
    return this.#screen;
  }

  /** Resolves at ServerInit. */
  async ready(timeoutMs?: number): Promise<RfbScreen> {
    await this.waitFor(() => this.#screen !== null, { what: "ServerInit", timeoutMs });
    return this.screen;
  }

  /** Asks for the whole screen, and again for changes after every update. */
  watch(): void {
    this.#watching = true;
    this.requestUpdate(false);
  }

  requestUpdate(incremental: boolean, area?: Rect): void {
    const { x, y, width, height } = area ?? { x: 0, y: 0, width: this.screen.width, height: this.screen.height };
    const message = Buffer.from([3, incremental ? 1 : 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (const [i, value] of [x, y, width, height].entries()) message.writeUInt16BE(value, 2 + i * 2);
    this.#write(message);
  }

  setPixelFormat(format: PixelFormat): void {
    this.#format = format;
    this.#write(Buffer.concat([Buffer.alloc(4), encodePixelFormat(format)]));
  }

  setEncodings(encodings: readonly number[]): void {
    const message = Buffer.alloc(4 + encodings.length * 4);
    message.writeUInt8(2, 0);
    message.writeUInt16BE(encodings.length, 2);
    for (const [i, encoding] of encodings.entries()) message.writeInt32BE(encoding, 4 + i * 4);
    this.#write(message);
  }

  key(keysym: number, down: boolean): void {
    const message = Buffer.from([4, down ? 1 : 0, 0, 0, 0, 0, 0, 0]);
    message.writeUInt32BE(keysym, 4);
    this.#write(message);
  }

  /** QEMU's extended key event, with the key's XT scancode. */
  extendedKey(keysym: number, scancode: number, down: boolean): void {
    const message = Buffer.alloc(12);
    message.set([255, 0, 0, down ? 1 : 0]);
    message.writeUInt32BE(keysym, 4);
    message.writeUInt32BE(scancode, 8);
    this.#write(message);
  }

  /** Presses and releases the keys of ASCII text; "\n" is Return. */
  type(text: string): void {
    for (const char of text) {
      const keysym = char === "\n" ? 0xff0d : char.charCodeAt(0);
      this.key(keysym, true);
      this.key(keysym, false);
    }
  }

  /** Bit n of `buttons` is button n + 1. */
  pointer(x: number, y: number, buttons = 0): void {
    const message = Buffer.from([5, buttons, 0, 0, 0, 0]);
    message.writeUInt16BE(x, 2);
    message.writeUInt16BE(y, 4);
    this.#write(message);
  }

  cutText(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    const head = Buffer.from([6, 0, 0, 0, 0, 0, 0, 0]);
    head.writeUInt32BE(bytes.length, 4);
    this.#write(Buffer.concat([head, bytes]));
  }

  /** Resolves when `predicate` holds of what is drawn. Only useful with `watch`. */
  async waitForScreen(predicate: (screen: RfbScreen) => boolean, timeoutMs?: number): Promise<RfbScreen> {
    await this.waitFor(() => this.#screen !== null && this.updates > 0 && predicate(this.#screen), {
      what: "the screen",
      timeoutMs,
    });
    return this.screen;
  }

  /** Resolves when the transport has ended. */
  async waitForEnd(timeoutMs?: number): Promise<void> {
    await this.waitFor(() => this.#ended, { what: "the end", timeoutMs });
  }

  /** Resolves when `check` holds; rejects when the server sent nonsense, went away, or time is over. */
  waitFor(check: () => boolean, { what, timeoutMs }: { what: string; timeoutMs?: number | undefined }): Promise<void> {
    const limit = timeoutMs ?? this.#options.timeoutMs ?? 5000;
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => waiter.reject(new Error(`waited ${limit} ms for ${what}`)), limit);
      const settle = () => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = {
        check,
        resolve: () => [settle(), resolve()],
        reject: (error) => [settle(), reject(error)],
      };
      this.#waiters.add(waiter);
      this.#recheck();
    });
  }

  #recheck(): void {
    for (const waiter of [...this.#waiters]) {
      if (waiter.check()) waiter.resolve();
      else if (this.#error) waiter.reject(this.#error);
      else if (this.#ended) waiter.reject(new Error("the server closed the connection"));
    }
  }

  *#converse(): Reading<void> {
    const { version = "008", encodings = [RAW] } = this.#options;
    const greeting = (yield 12).toString("latin1");
    if (greeting !== "RFB 003.008\n") throw new Error(`greeted with ${JSON.stringify(greeting)}`);
    this.#write(Buffer.from(`RFB 003.${version}\n`));
    yield* this.#agreeOnNone(version);
    this.#write(Buffer.from([1]));
    const init = yield 24;
    const name = (yield init.readUInt32BE(20)).toString();
    this.#screen = new RfbScreen(init.readUInt16BE(0), init.readUInt16BE(2), name);
    this.setPixelFormat(this.#format);
    this.setEncodings(encodings);
    for (;;) yield* this.#message((yield 1).readUInt8(0));
  }

  *#agreeOnNone(version: string): Reading<void> {
    if (version === "003") {
      const type = (yield 4).readUInt32BE(0);
      if (type !== 1) throw new Error(`security type ${type} is not None`);
      return;
    }
    const types = yield (yield 1).readUInt8(0);
    if (!types.includes(1)) throw new Error("the server does not offer None");
    this.#write(Buffer.from([1]));
    if (version === "008" && (yield 4).readUInt32BE(0) !== 0) {
      throw new Error((yield (yield 4).readUInt32BE(0)).toString());
    }
  }

  *#message(type: number): Reading<void> {
    if (type === 2) return; // Bell
    if (type === 3) {
      yield (yield 7).readUInt32BE(3); // ServerCutText
      return;
    }
    if (type !== 0) throw new Error(`the server sent message ${type}`);
    const format = this.#format;
    for (let left = (yield 3).readUInt16BE(1); left > 0; left--) {
      const head = yield 12;
      const [x, y, width, height] = [0, 2, 4, 6].map((at) => head.readUInt16BE(at)) as [number, number, number, number];
      yield* this.#rect({ x, y, width, height }, head.readInt32BE(8), format);
    }
    this.#apply(async () => {
      this.updates++;
      if (this.#watching) this.requestUpdate(true);
    });
  }

  *#rect(rect: Rect, encoding: number, format: PixelFormat): Reading<void> {
    if (encoding === QEMU_EXTENDED_KEY) {
      this.extendedKeys = true;
    } else if (encoding === RAW) {
      const data = Buffer.from(yield (rect.width * rect.height * format.bitsPerPixel) / 8);
      this.#apply(async () => this.screen.drawRaw(rect, data, format));
    } else if (encoding === ZRLE) {
      const data = Buffer.from(yield (yield 4).readUInt32BE(0));
      this.#apply(async () => this.screen.drawZrle(rect, await this.#expand(data)));
    } else {
      throw new Error(`the server sent encoding ${encoding}`);
    }
  }

  /** One after the other, in the order received. */
  #apply(work: () => Promise<void>): void {
    this.#applying = this.#applying
      .then(work)
      .catch((error: Error) => {
        this.#error ??= error;
      })
      .then(() => this.#recheck());
  }

  #expand(data: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#inflate.once("error", reject);
      this.#inflate.write(data, () => {
        this.#inflate.off("error", reject);
        resolve(this.#inflated);
        this.#inflated = Buffer.alloc(0);
      });
    });
  }
}
