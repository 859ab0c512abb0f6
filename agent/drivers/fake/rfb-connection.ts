/**
 * One client of an RFB server.
 *
 * Whatever the client does, it holds no more than one request, one bounded set of damage and one update that its
 * socket has not yet taken. Pixels are read when an update is made, so a slow client skips what it was too slow for.
 */
import type { Duplex } from "node:stream";
import { ByteFeed, type Reading } from "../../rfb/byte-feed.ts";
import { handshake } from "../../rfb/handshake.ts";
import { RfbError } from "../../rfb/rfb-error.ts";
import { ENCODING } from "../../rfb/wire.ts";
import type { Picture } from "./canvas.ts";
import { around, Damage, intersect, type Rect } from "./damage.ts";
import type { Display } from "./display.ts";
import { NATIVE_FORMAT, PixelCoder } from "./pixel-format.ts";
import { type ClientMessage, type EncodedRect, framebufferUpdate, readMessage, serverInit } from "./rfb-messages.ts";
import { ZrleStream, zrleTiles } from "./zrle.ts";

/** A viewer is through the handshake in a moment; whoever is not only takes a place. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long a client that is sent away has to read why. */
const GOODBYE_MS = 1000;

export type ConnectionOptions = {
  display: Display;
  /** The desktop's name in ServerInit. */
  name: string;
  log(event: string, fields?: Record<string, unknown>): void;
  /** Called once, when the stream has closed. */
  onClosed?: () => void;
};

type View = { picture: Picture; detach(): void };

export class RfbConnection {
  readonly #stream: Duplex;
  readonly #options: ConnectionOptions;
  readonly #damage = new Damage();
  readonly #feed: ByteFeed;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #view: View | null = null;
  #coder = new PixelCoder(NATIVE_FORMAT);
  #compressed = false;
  #zrle: ZrleStream | null = null;
  /** A pseudo-rectangle that tells of QEMU's key event is to go with the next update. */
  #announceKeys = false;
  /** What the client asked for and has not got. */
  #wanted: Rect | null = null;
  /** An update is being made, or its bytes have not all left. */
  #sending = false;
  #woken = false;

  constructor(stream: Duplex, options: ConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#timer = setTimeout(() => this.#refuse(new RfbError("the handshake took too long")), HANDSHAKE_TIMEOUT_MS);
    this.#timer.unref();
    this.#feed = new ByteFeed(this.#converse());
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("end", () => this.close());
    // A client that goes away mid-write is how viewers leave; "close" follows and does the rest.
    stream.on("error", () => this.close());
    stream.on("close", () => {
      this.close();
      options.onClosed?.();
    });
  }

  /** Ends the connection at once, as a process that dies does. May be called twice. */
  close(): void {
    this.#stop();
    this.#stream.destroy();
  }

  *#converse(): Reading<void> {
    const { display, name } = this.#options;
    yield* handshake((bytes) => this.#stream.write(bytes), serverInit(display, name));
    clearTimeout(this.#timer);
    this.#view = display.attach((rect) => {
      this.#damage.add(rect);
      this.#wake();
    });
    for (;;) this.#take(yield* readMessage());
  }

  #read(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      this.#feed.push(chunk);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** Logs why, lets go of everything, and closes when the last bytes have left or the time for it is over. */
  #refuse(error: unknown): void {
    if (this.#ended) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log(error instanceof RfbError ? "rfb.client_refused" : "rfb.client_failed", { reason });
    this.#stop();
    this.#stream.end(() => this.#stream.destroy());
    this.#timer = setTimeout(() => this.#stream.destroy(), GOODBYE_MS);
    this.#timer.unref();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    if (this.#ended) return;
    this.#ended = true;
    this.#feed.end();
    this.#view?.detach();
    this.#view = null;
    this.#zrle?.close();
  }

  #take(message: ClientMessage): void {
    const { display } = this.#options;
    switch (message.type) {
      case "set_pixel_format":
        this.#coder = new PixelCoder(message.format);
        break;
      case "set_encodings": {
        // The order is the client's preference (RFC 6143 §7.5.2); who names neither gets Raw, which all must read.
        const known = message.encodings.find((code) => code === ENCODING.RAW || code === ENCODING.ZRLE);
        this.#compressed = known === ENCODING.ZRLE;
        this.#announceKeys ||= message.encodings.includes(ENCODING.QEMU_EXTENDED_KEY);
        break;
      }
      case "update_request":
        this.#request(message);
        break;
      case "key":
        display.key(message.keysym, message.down, message.scancode);
        break;
      case "pointer": {
        const x = Math.min(message.x, display.width - 1);
        display.pointer(x, Math.min(message.y, display.height - 1), message.buttons);
        break;
      }
      case "cut_text":
        display.cutText(message.text);
        break;
      default:
        message satisfies never;
    }
  }

  /** An area outside of the screen, or of no size, asks for nothing. */
  #request({ incremental, area }: { incremental: boolean; area: Rect }): void {
    const { width, height } = this.#options.display;
    const visible = intersect(area, { x: 0, y: 0, width, height });
    if (!visible) return;
    if (!incremental) this.#damage.add(visible);
    this.#wanted = this.#wanted ? around(this.#wanted, visible) : visible;
    this.#wake();
  }

  /** Sends what there is to send, after all that this turn of the event loop still draws. */
  #wake(): void {
    if (this.#woken || this.#sending || !this.#wanted) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      this.#update().catch((error: unknown) => this.#refuse(error));
    });
  }

  async #update(): Promise<void> {
    if (!this.#view || !this.#wanted || this.#sending) return;
    const rects = this.#damage.take(this.#wanted);
    if (rects.length === 0 && !this.#announceKeys) return;
    this.#wanted = null;
    this.#sending = true;
    const encoded = await this.#encode(this.#view.picture, rects);
    if (this.#ended) return;
    this.#stream.write(framebufferUpdate(encoded), () => {
      this.#sending = false;
      this.#wake();
    });
  }

  async #encode(picture: Picture, rects: readonly Rect[]): Promise<EncodedRect[]> {
    const encoded: EncodedRect[] = [];
    if (this.#announceKeys) {
      const rect = { x: 0, y: 0, width: picture.width, height: picture.height };
      encoded.push({ rect, encoding: ENCODING.QEMU_EXTENDED_KEY, data: Buffer.alloc(0) });
      this.#announceKeys = false;
    }
    const coder = this.#coder;
    if (!this.#compressed) {
      for (const rect of rects) encoded.push({ rect, encoding: ENCODING.RAW, data: coder.raw(picture, rect) });
      return encoded;
    }
    // All pixels are read before the first await: one update shows one moment.
    const tiles = rects.map((rect) => ({ rect, bytes: zrleTiles(picture, rect, coder) }));
    this.#zrle ??= new ZrleStream();
    for (const { rect, bytes } of tiles) {
      encoded.push({ rect, encoding: ENCODING.ZRLE, data: await this.#zrle.compress(bytes) });
    }
    return encoded;
  }
}
