/** What a client says after the handshake (RFC 6143 §7.5), ServerInit (§7.3.2), and the heads of what is answered (§7.6). */
import type { Reading } from "../../rfb/byte-feed.ts";
import { RfbError } from "../../rfb/rfb-error.ts";
import { FROM_VIEWER } from "../../rfb/wire.ts";
import type { Rect } from "./damage.ts";
import { decodePixelFormat, encodePixelFormat, NATIVE_FORMAT, type PixelFormat } from "./pixel-format.ts";

const QEMU_EXTENDED_KEY = 0;

/** Viewers list some 30 encodings. */
const MAX_ENCODINGS = 1024;
/** Of a longer text the rest is read and dropped. */
export const MAX_CUT_TEXT_BYTES = 1024 * 1024;
/** As much as is kept of a text before it is taken over. */
const CUT_TEXT_PIECE_BYTES = 16 * 1024;
const MAX_NAME_BYTES = 1024;

export type ClientMessage =
  | { type: "set_pixel_format"; format: PixelFormat }
  /** In the order the client prefers them. */
  | { type: "set_encodings"; encodings: number[] }
  | { type: "update_request"; incremental: boolean; area: Rect }
  /** `scancode` is XT set 1, from QEMU's message only. */
  | { type: "key"; down: boolean; keysym: number; scancode: number | null }
  | { type: "pointer"; buttons: number; x: number; y: number }
  /** Latin-1; `dropped` bytes were beyond the limit. */
  | { type: "cut_text"; text: string; dropped: number };

/** Reads one message. Throws RfbError when it is none that this server knows, as its length is then unknown too. */
export function* readMessage(): Reading<ClientMessage> {
  const type = (yield 1).readUInt8(0);
  switch (type) {
    case FROM_VIEWER.SET_PIXEL_FORMAT: {
      return { type: "set_pixel_format", format: decodePixelFormat((yield 19).subarray(3)) };
    }
    case FROM_VIEWER.SET_ENCODINGS: {
      const count = (yield 3).readUInt16BE(1);
      if (count > MAX_ENCODINGS) throw new RfbError(`${count} encodings are too many`);
      const list = yield count * 4;
      return { type: "set_encodings", encodings: Array.from({ length: count }, (_, i) => list.readInt32BE(i * 4)) };
    }
    case FROM_VIEWER.UPDATE_REQUEST: {
      const body = yield 9;
      const [x, y, width, height] = [1, 3, 5, 7].map((at) => body.readUInt16BE(at)) as [number, number, number, number];
      return { type: "update_request", incremental: body.readUInt8(0) !== 0, area: { x, y, width, height } };
    }
    case FROM_VIEWER.KEY: {
      const body = yield 7;
      return { type: "key", down: body.readUInt8(0) !== 0, keysym: body.readUInt32BE(3), scancode: null };
    }
    case FROM_VIEWER.POINTER: {
      const body = yield 5;
      return { type: "pointer", buttons: body.readUInt8(0), x: body.readUInt16BE(1), y: body.readUInt16BE(3) };
    }
    case FROM_VIEWER.CUT_TEXT: {
      return yield* readCutText((yield 7).readUInt32BE(3));
    }
    case FROM_VIEWER.QEMU: {
      const kind = (yield 1).readUInt8(0);
      if (kind !== QEMU_EXTENDED_KEY) throw new RfbError(`unknown QEMU message ${kind}`);
      const body = yield 10;
      const down = body.readUInt16BE(0) !== 0;
      return { type: "key", down, keysym: body.readUInt32BE(2), scancode: body.readUInt32BE(6) };
    }
    default:
      throw new RfbError(`unknown message ${type}`);
  }
}

function* readCutText(length: number): Reading<ClientMessage> {
  let text = "";
  let left = length;
  for (; left > 0; ) {
    const piece = yield Math.min(left, CUT_TEXT_PIECE_BYTES);
    left -= piece.length;
    if (text.length < MAX_CUT_TEXT_BYTES) text += piece.toString("latin1");
  }
  return { type: "cut_text", text, dropped: length - text.length };
}

export function serverInit({ width, height }: { width: number; height: number }, name: string): Buffer {
  const text = Buffer.from(name).subarray(0, MAX_NAME_BYTES);
  const size = Buffer.alloc(4);
  size.writeUInt16BE(width, 0);
  size.writeUInt16BE(height, 2);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length, 0);
  return Buffer.concat([size, encodePixelFormat(NATIVE_FORMAT), length, text]);
}

export type EncodedRect = { rect: Rect; encoding: number; data: Buffer };

/** A FramebufferUpdate (RFC 6143 §7.6.1), in one piece. */
export function framebufferUpdate(rects: readonly EncodedRect[]): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(rects.length, 2);
  const parts: Buffer[] = [head];
  for (const { rect, encoding, data } of rects) {
    const each = Buffer.alloc(12);
    each.writeUInt16BE(rect.x, 0);
    each.writeUInt16BE(rect.y, 2);
    each.writeUInt16BE(rect.width, 4);
    each.writeUInt16BE(rect.height, 6);
    each.writeInt32BE(encoding, 8);
    parts.push(each, data);
  }
  return Buffer.concat(parts);
}
