/** One of everything that a VNC server sends, for tests of who follows it. */

export const PIXELS = { raw: 4, tight: 3 } as const;
export const u8 = (...list: number[]) => Buffer.from(list);
const u16 = (...list: number[]) => Buffer.from(list.flatMap((one) => [(one >> 8) & 255, one & 255]));
export const u32 = (one: number) => Buffer.concat([u16(one >>> 16), u16(one & 0xffff)]);
export const some = (length: number) => Buffer.alloc(length, 3);

/** One rectangle: `size` is width and height. */
export const rect = (encoding: number, size: [number, number], data: Buffer) =>
  Buffer.concat([u16(0, 0, ...size), u32(encoding >>> 0), data]);
export const update = (...rects: Buffer[]) => Buffer.concat([u8(0, 0), u16(rects.length), ...rects]);
const compact = (length: number) =>
  length < 128
    ? u8(length)
    : length < 16_384
      ? u8((length & 127) | 128, length >> 7)
      : u8((length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14);

const RECTS: Record<string, Buffer<ArrayBuffer>> = {
  raw: rect(0, [5, 3], some(60)),
  "raw of nothing": rect(0, [0, 0], some(0)),
  copy: rect(1, [5, 3], some(4)),
  zlib: rect(6, [5, 3], Buffer.concat([u32(9), some(9)])),
  zrle: rect(16, [64, 64], Buffer.concat([u32(300), some(300)])),
  "tight fill": rect(7, [5, 3], Buffer.concat([u8(0x80), some(3)])),
  "tight jpeg": rect(7, [64, 64], Buffer.concat([u8(0x90), compact(20_000), some(20_000)])),
  "tight png": rect(-260, [64, 64], Buffer.concat([u8(0xa0), compact(200), some(200)])),
  "tight copy": rect(7, [5, 3], Buffer.concat([u8(0x00), compact(17), some(17)])),
  "tight copy, short": rect(7, [3, 1], Buffer.concat([u8(0x0f), some(9)])),
  "tight gradient": rect(7, [5, 3], Buffer.concat([u8(0x40, 2), compact(17), some(17)])),
  "tight two colours": rect(7, [17, 2], Buffer.concat([u8(0x40, 1, 1), some(6), some(6)])),
  "tight two colours, long": rect(7, [17, 9], Buffer.concat([u8(0x50, 1, 1), some(6), compact(11), some(11)])),
  "tight palette": rect(7, [5, 3], Buffer.concat([u8(0x60, 1, 3), some(12), compact(5), some(5)])),
  cursor: rect(-239, [10, 4], some(160 + 8)),
  "x cursor": rect(-240, [10, 4], some(6 + 16)),
  "no x cursor": rect(-240, [0, 0], some(0)),
  size: rect(-223, [800, 600], some(0)),
  "extended size": rect(-308, [800, 600], Buffer.concat([u8(2, 0, 0, 0), some(32)])),
  name: rect(-307, [0, 0], Buffer.concat([u32(6), some(6)])),
  "qemu keys": rect(-258, [0, 0], some(0)),
  "qemu pointer": rect(-257, [1, 0], some(0)),
  led: rect(-261, [0, 0], some(1)),
};
const cut = (text: string, sign = 1) =>
  Buffer.concat([u8(3, 0, 0, 0), u32((sign * text.length) >>> 0), Buffer.from(text)]);
export const MESSAGES: Record<string, Buffer<ArrayBuffer>> = {
  ...Object.fromEntries(Object.entries(RECTS).map(([name, one]) => [name, update(one)])),
  "all of them": update(...Object.values(RECTS)),
  "an update of nothing": update(),
  "an update without end": Buffer.concat([u8(0, 0), u16(0xffff), RECTS.raw!, RECTS.copy!, rect(-224, [0, 0], some(0))]),
  colours: Buffer.concat([u8(1, 0), u16(0, 3), some(18)]),
  bell: u8(2),
  "end of continuous updates": u8(150),
  fence: Buffer.concat([u8(248, 0, 0, 0), u32(1), u8(5), some(5)]),
  xvp: u8(250, 0, 1, 1),
};
/** Texts of the clipboard. */
export const TEXTS = [cut("secret"), cut("", 1), cut("extended", -1)];
