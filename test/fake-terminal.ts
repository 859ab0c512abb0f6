/** Where a fake guest's screen shows what is typed, for tests that must not take its clock for an answer. */

/** RGBA, four bytes a pixel. */
export type Rgba = { width: number; data: Buffer };

/** The frame around the terminal (agent/drivers/fake/screen.ts). The pointer rests above of it. */
const AREA = { x: 20, y: 232, width: 760, height: 314 };
const CARET_RGB = 0xff8b3d;

/** The terminal's pixels; null until the guest has booted, which is when its caret appears. Only keys change it then. */
export function terminal({ width, data }: Rgba): Buffer | null {
  const rows = Array.from({ length: AREA.height }, (_, row) => {
    const start = ((AREA.y + row) * width + AREA.x) * 4;
    return data.subarray(start, start + AREA.width * 4);
  });
  const pixels = Buffer.concat(rows);
  for (let at = 0; at < pixels.length; at += 4) if (pixels.readUInt32BE(at) >>> 8 === CARET_RGB) return pixels;
  return null;
}
