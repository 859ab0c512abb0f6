/**
 * Follows what a VNC server sends, message by message, without decoding a pixel: where a message ends, so that one of
 * ours may stand between two, and what must not reach this viewer (RFC 6143 §7.6, §7.7; rfbproto.rst for the rest).
 */
import { RfbError } from "../rfb/rfb-error.ts";
import { ENCODING, FROM_SCREEN, MAX_FENCE_BYTES, type PixelBytes } from "../rfb/wire.ts";

/** What a step needs next: so many bytes to look at, or so many that may pass unseen. */
type Need = number | { skip: number };
type Following<T = void> = Generator<Need, T, Buffer>;

/** Tight sends what is shorter as it is (rfbproto.rst §7.7.5). */
const TIGHT_MIN_COMPRESSED = 12;
const NOTHING = Buffer.alloc(0);

export class ScreenMessages {
  readonly #passesCutText: () => boolean;
  readonly #following: Following;
  pixels: PixelBytes;
  /** Bytes of the present need that have come, and how many are still to come. */
  #held: Buffer = NOTHING;
  #need: Need = 0;
  /** The message that is being read is left out. */
  #withheld = false;
  #between = true;

  constructor(pixels: PixelBytes, passesCutText: () => boolean) {
    this.pixels = pixels;
    this.#passesCutText = passesCutText;
    this.#following = this.#messages();
    this.#next(NOTHING);
  }

  /** Whether all that came so far were whole messages. */
  get between(): boolean {
    return this.#between;
  }

  /** Bytes that wait for the rest of what they belong to; they have been passed on, or withheld, all the same. */
  get held(): number {
    return this.#held.length;
  }

  /** The parts of `chunk`, cut anywhere, that go to the viewer. Throws RfbError when it cannot be followed. */
  push(chunk: Buffer): Buffer[] {
    const passed: Buffer[] = [];
    let from = 0;
    let at = 0;
    while (at < chunk.length) {
      const before = this.#withheld;
      const start = at;
      at = this.#take(chunk, at);
      if (this.#withheld === before) continue;
      // A message is withheld from its first byte on, and the next one passes from its own.
      const border = before ? at : start;
      if (!before && border > from) passed.push(chunk.subarray(from, border));
      from = border;
    }
    if (!this.#withheld && from < chunk.length) passed.push(chunk.subarray(from));
    return passed;
  }

  /** Takes what the present need lacks, or as much of it as there is; returns where the rest begins. */
  #take(chunk: Buffer, at: number): number {
    if (typeof this.#need !== "number") {
      const taken = Math.min(this.#need.skip, chunk.length - at);
      this.#need.skip -= taken;
      if (this.#need.skip === 0) this.#next(NOTHING);
      return at + taken;
    }
    const end = Math.min(chunk.length, at + this.#need - this.#held.length);
    const piece = chunk.subarray(at, end);
    const held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    if (held.length < this.#need) this.#held = Buffer.from(held);
    else this.#next(held);
    return end;
  }

  #next(bytes: Buffer): void {
    this.#held = NOTHING;
    let step = this.#following.next(bytes);
    // What is empty needs no bytes to go on.
    while (!step.done && (step.value === 0 || (typeof step.value !== "number" && step.value.skip === 0))) {
      step = this.#following.next(NOTHING);
    }
    if (!step.done) this.#need = step.value;
  }

  *#messages(): Following {
    for (;;) {
      this.#between = true;
      this.#withheld = false;
      const type = (yield 1).readUInt8(0);
      this.#between = false;
      switch (type) {
        case FROM_SCREEN.UPDATE:
          yield* this.#update();
          break;
        case FROM_SCREEN.COLOUR_MAP:
          yield { skip: (yield 5).readUInt16BE(3) * 6 };
          break;
        case FROM_SCREEN.BELL:
        case FROM_SCREEN.END_OF_CONTINUOUS_UPDATES:
          break;
        case FROM_SCREEN.CUT_TEXT:
          this.#withheld = !this.#passesCutText();
          // A negative length is that of an extended clipboard message.
          yield { skip: Math.abs((yield 7).readInt32BE(3)) };
          break;
        case FROM_SCREEN.FENCE:
          yield* fence();
          break;
        case FROM_SCREEN.XVP:
          yield 3;
          break;
        default:
          throw new RfbError(`unknown message ${type}`);
      }
    }
  }

  *#update(): Following {
    const count = (yield 3).readUInt16BE(1);
    for (let at = 0; at < count; at++) {
      const rect = yield 12;
      const encoding = rect.readInt32BE(8);
      if (encoding === ENCODING.LAST_RECT) return;
      yield* this.#rectangle(encoding, rect.readUInt16BE(4), rect.readUInt16BE(6));
    }
  }

  *#rectangle(encoding: number, width: number, height: number): Following {
    const { raw, tight } = this.pixels;
    const bitmap = Math.ceil(width / 8) * height;
    switch (encoding) {
      case ENCODING.RAW:
        yield { skip: width * height * raw };
        break;
      case ENCODING.COPY_RECT:
        yield { skip: 4 };
        break;
      case ENCODING.TIGHT:
      case ENCODING.TIGHT_PNG:
        yield* tightRectangle(width, height, tight);
        break;
      case ENCODING.ZLIB:
      case ENCODING.ZRLE:
      case ENCODING.DESKTOP_NAME:
        yield { skip: (yield 4).readUInt32BE(0) };
        break;
      case ENCODING.CURSOR:
        yield { skip: width * height * raw + bitmap };
        break;
      case ENCODING.X_CURSOR:
        yield { skip: width * height > 0 ? 6 + 2 * bitmap : 0 };
        break;
      case ENCODING.QEMU_LED_STATE:
        yield { skip: 1 };
        break;
      case ENCODING.EXTENDED_DESKTOP_SIZE:
        yield { skip: (yield 4).readUInt8(0) * 16 };
        break;
      case ENCODING.DESKTOP_SIZE:
      case ENCODING.QEMU_POINTER_MOTION:
      case ENCODING.QEMU_EXTENDED_KEY:
        break;
      default:
        throw new RfbError(`unknown encoding ${encoding}`);
    }
  }
}

function* fence(): Following {
  const length = (yield 8).readUInt8(7);
  if (length > MAX_FENCE_BYTES) throw new RfbError(`a fence of ${length} bytes is too long`);
  yield { skip: length };
}

/** rfbproto.rst §7.7.5, §7.7.6. */
function* tightRectangle(width: number, height: number, pixel: number): Following {
  const kind = (yield 1).readUInt8(0) >> 4;
  if (kind === 8) return void (yield { skip: pixel });
  if (kind === 9 || kind === 10) return void (yield { skip: yield* compactLength() });
  if (kind > 10) throw new RfbError(`unknown Tight compression ${kind}`);
  const filter = kind & 4 ? (yield 1).readUInt8(0) : 0;
  let size = width * height * pixel;
  if (filter === 1) {
    const colours = (yield 1).readUInt8(0) + 1;
    yield { skip: colours * pixel };
    size = colours <= 2 ? Math.ceil(width / 8) * height : width * height;
  } else if (filter > 2) {
    throw new RfbError(`unknown Tight filter ${filter}`);
  }
  yield { skip: size < TIGHT_MIN_COMPRESSED ? size : yield* compactLength() };
}

/** One to three bytes, the low seven bits first. */
function* compactLength(): Following<number> {
  const first = (yield 1).readUInt8(0);
  if (first < 0x80) return first;
  const second = (yield 1).readUInt8(0);
  const low = (first & 0x7f) | ((second & 0x7f) << 7);
  return second < 0x80 ? low : low | ((yield 1).readUInt8(0) << 14);
}
