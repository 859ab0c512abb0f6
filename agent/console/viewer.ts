/**
 * The viewer's side of a console: leads the viewer in without asking for a secret, whatever the VNC server asks of the
 * agent, and lets through of what it sends only what its rights allow. A viewer's bytes reach the VNC server as whole
 * messages or not at all, so what comes first in a message decides on all of it.
 */
import type { ConsoleCounts, ConsoleRights } from "../../functions/protocol/methods.ts";
import { ByteFeed, type Reading } from "../rfb/byte-feed.ts";
import { handshake } from "../rfb/handshake.ts";
import { RfbError } from "../rfb/rfb-error.ts";
import { ENCODING, FROM_VIEWER, MAX_FENCE_BYTES, type PixelBytes, pixelBytes } from "../rfb/wire.ts";
import { HeldInput } from "./held-input.ts";

export type ViewerOptions = {
  /** The VNC server's, as the viewer is to have it. */
  serverInit: Buffer;
  /** As they are at the moment: they may change. */
  rights(): ConsoleRights;
  /** Where events that are let through are counted: their number is all that is kept of them. */
  counts: Pick<ConsoleCounts, "keys" | "pointers" | "cut_texts">;
  toViewer(bytes: Buffer): void;
  toScreen(bytes: Buffer): void;
  /** The viewer has ServerInit: from now on it understands what the VNC server says. */
  onWelcome(): void;
  /** The viewer has chosen how pixels come, before it asked for any. */
  onPixels(pixels: PixelBytes): void;
};

/** Viewers list some 30 encodings. */
const MAX_ENCODINGS = 1024;
const MAX_SCREENS = 255;
/** A longer text of the clipboard is left out. */
export const MAX_CUT_TEXT_BYTES = 1024 * 1024;
/** As much of a text as waits here. */
const PIECE_BYTES = 16 * 1024;

/**
 * Encodings whose length can be told without decoding, and pseudo-encodings that change no other message: only these
 * are asked for. Among what is left out is -316, by which pointer events would become longer.
 */
const KNOWN_ENCODINGS: ReadonlySet<number> = new Set(Object.values(ENCODING));
/** Pseudo-encodings that tell of quality and compression only (rfbproto.rst §7.8). */
const isLevel = (encoding: number) =>
  (encoding >= -32 && encoding <= -23) ||
  (encoding >= -256 && encoding <= -247) ||
  (encoding >= -512 && encoding <= -412) ||
  (encoding >= -768 && encoding <= -763);

export class Viewer {
  readonly #options: ViewerOptions;
  readonly #feed: ByteFeed;
  readonly #held = new HeldInput();
  #asked = false;
  /** What goes to the VNC server, in one piece for each that came. */
  #passed: Buffer[] = [];
  /** A part of a message has gone to the VNC server, and the rest is still to come. */
  #midway = false;
  #lettingGo = false;

  /** Greets the viewer. */
  constructor(options: ViewerOptions) {
    this.#options = options;
    this.#feed = new ByteFeed(this.#converse());
  }

  /** Bytes of the viewer that wait for the rest of what they belong to. */
  get held(): number {
    return this.#feed.rest.length;
  }

  /** Lifts the keys and buttons that the viewer holds down, at once or after the message that it is in. */
  letGo(): void {
    this.#lettingGo = this.#midway;
    if (this.#midway) return;
    const lifted = this.#held.lift();
    if (lifted.length > 0) this.#options.toScreen(lifted);
  }

  /** Bytes of the viewer, cut anywhere. Throws RfbError when they are no RFB; nothing may come after that. */
  push(bytes: Buffer): void {
    try {
      this.#feed.push(bytes);
    } finally {
      if (this.#passed.length > 0) this.#options.toScreen(Buffer.concat(this.#passed));
      this.#passed = [];
      if (this.#lettingGo) this.letGo();
    }
  }

  *#converse(): Reading<void> {
    const { toViewer, serverInit, onWelcome } = this.#options;
    yield* handshake(toViewer, serverInit);
    onWelcome();
    for (;;) yield* this.#message();
  }

  *#message(): Reading<void> {
    const head = yield 1;
    const type = head.readUInt8(0);
    switch (type) {
      case FROM_VIEWER.SET_PIXEL_FORMAT:
        return this.#setPixelFormat(head, yield 19);
      case FROM_VIEWER.SET_ENCODINGS:
        return yield* this.#setEncodings(head);
      case FROM_VIEWER.UPDATE_REQUEST:
      case FROM_VIEWER.CONTINUOUS_UPDATES:
        this.#asked = true;
        return this.#pass(head, yield 9);
      case FROM_VIEWER.KEY:
        return this.#input("keys", head, yield 7);
      case FROM_VIEWER.POINTER:
        return this.#input("pointers", head, yield 5);
      case FROM_VIEWER.CUT_TEXT:
        return yield* this.#cutText(head);
      case FROM_VIEWER.FENCE:
        return yield* this.#fence(head);
      case FROM_VIEWER.XVP:
        // Its orders are the API's to give, where they are asked for rights and are recorded.
        yield 3;
        return;
      case FROM_VIEWER.SET_DESKTOP_SIZE:
        return yield* this.#setDesktopSize(head);
      case FROM_VIEWER.QEMU:
        return yield* this.#qemu(head);
      default:
        throw new RfbError(`unknown message ${type}`);
    }
  }

  #pass(...parts: Buffer[]): void {
    this.#passed.push(...parts);
  }

  #input(kind: "keys" | "pointers", ...parts: Buffer[]): void {
    if (!this.#options.rights().input) return;
    this.#options.counts[kind] += 1;
    const message = Buffer.concat(parts);
    this.#held.note(message);
    this.#pass(message);
  }

  #setPixelFormat(head: Buffer, body: Buffer): void {
    // From the first update on, nobody could tell which of those under way come in which format.
    if (this.#asked) throw new RfbError("the pixel format changed after the first update was asked for");
    const pixels = pixelBytes(body.subarray(3));
    if (pixels === null) throw new RfbError("such pixels there are not");
    this.#options.onPixels(pixels);
    this.#pass(head, body);
  }

  *#setEncodings(head: Buffer): Reading<void> {
    const count = (yield 3).readUInt16BE(1);
    if (count > MAX_ENCODINGS) throw new RfbError(`${count} encodings are too many`);
    const list = yield count * 4;
    const { clipboard } = this.#options.rights();
    const kept = Array.from({ length: count }, (_, at) => list.readInt32BE(at * 4)).filter(
      (one) => (KNOWN_ENCODINGS.has(one) || isLevel(one)) && (clipboard || one !== ENCODING.EXTENDED_CLIPBOARD),
    );
    const body = Buffer.alloc(3 + kept.length * 4);
    body.writeUInt16BE(kept.length, 1);
    for (const [at, one] of kept.entries()) body.writeInt32BE(one, 3 + at * 4);
    this.#pass(head, body);
  }

  /** A negative length is that of an extended clipboard message. */
  *#cutText(head: Buffer): Reading<void> {
    const lead = yield 7;
    const length = Math.abs(lead.readInt32BE(3));
    const { input, clipboard } = this.#options.rights();
    const passes = input && clipboard && length <= MAX_CUT_TEXT_BYTES;
    if (passes) {
      this.#options.counts.cut_texts += 1;
      this.#pass(head, lead);
      this.#midway = true;
    }
    for (let left = length; left > 0; ) {
      const piece = yield Math.min(left, PIECE_BYTES);
      left -= piece.length;
      if (passes) this.#pass(piece);
    }
    this.#midway = false;
  }

  *#fence(head: Buffer): Reading<void> {
    const lead = yield 8;
    const length = lead.readUInt8(7);
    if (length > MAX_FENCE_BYTES) throw new RfbError(`a fence of ${length} bytes is too long`);
    this.#pass(head, lead, yield length);
  }

  *#setDesktopSize(head: Buffer): Reading<void> {
    const lead = yield 7;
    const screens = lead.readUInt8(5);
    if (screens > MAX_SCREENS) throw new RfbError(`${screens} screens are too many`);
    const body = yield screens * 16;
    if (this.#options.rights().input) this.#pass(head, lead, body);
  }

  *#qemu(head: Buffer): Reading<void> {
    const kind = yield 1;
    if (kind.readUInt8(0) !== 0) throw new RfbError(`unknown QEMU message ${kind.readUInt8(0)}`);
    this.#input("keys", head, kind, yield 10);
  }
}
