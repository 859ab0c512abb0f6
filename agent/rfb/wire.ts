/** Numbers of the RFB protocol (RFC 6143, and the community's rfbproto.rst for what is newer), for whoever stands between. */

export const VERSION_BYTES = 12;
export const GREETING = "RFB 003.008\n";
/** Of a fence's payload (rfbproto.rst: ClientFence, ServerFence). */
export const MAX_FENCE_BYTES = 64;

export const SECURITY = { INVALID: 0, NONE: 1, VNC: 2, VENCRYPT: 19 } as const;

/** What a viewer sends. 255 is QEMU's, with a second byte for the kind. */
export const FROM_VIEWER = {
  SET_PIXEL_FORMAT: 0,
  SET_ENCODINGS: 2,
  UPDATE_REQUEST: 3,
  KEY: 4,
  POINTER: 5,
  CUT_TEXT: 6,
  CONTINUOUS_UPDATES: 150,
  FENCE: 248,
  XVP: 250,
  SET_DESKTOP_SIZE: 251,
  QEMU: 255,
} as const;

/** What a VNC server sends. */
export const FROM_SCREEN = {
  UPDATE: 0,
  COLOUR_MAP: 1,
  BELL: 2,
  CUT_TEXT: 3,
  END_OF_CONTINUOUS_UPDATES: 150,
  FENCE: 248,
  XVP: 250,
} as const;

export const ENCODING = {
  RAW: 0,
  COPY_RECT: 1,
  ZLIB: 6,
  TIGHT: 7,
  ZRLE: 16,
  DESKTOP_SIZE: -223,
  LAST_RECT: -224,
  CURSOR: -239,
  X_CURSOR: -240,
  QEMU_POINTER_MOTION: -257,
  QEMU_EXTENDED_KEY: -258,
  TIGHT_PNG: -260,
  QEMU_LED_STATE: -261,
  DESKTOP_NAME: -307,
  EXTENDED_DESKTOP_SIZE: -308,
  XVP: -309,
  FENCE: -312,
  CONTINUOUS_UPDATES: -313,
  EXTENDED_CLIPBOARD: 0xc0a1e5ce | 0,
} as const;

/** How many bytes a pixel takes on the wire, and in Tight, which leaves the fourth of true colour out. */
export type PixelBytes = { raw: 1 | 2 | 4; tight: 1 | 2 | 3 | 4 };

/** What the 16 bytes of a PIXEL_FORMAT (RFC 6143 §7.4) say of sizes; null when they are none. */
export function pixelBytes(format: Buffer): PixelBytes | null {
  const [bits, depth, , trueColour] = format;
  if (bits !== 8 && bits !== 16 && bits !== 32) return null;
  const raw = (bits / 8) as PixelBytes["raw"];
  const full = [4, 6, 8].every((at) => format.readUInt16BE(at) === 255);
  return { raw, tight: raw === 4 && depth === 24 && trueColour !== 0 && full ? 3 : raw };
}
