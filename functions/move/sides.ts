/** How the Worker tells a `Move` object who comes. */
import { MAX_MOVE_STREAMS } from "../protocol/move.ts";

/** Headers between the two: never headers of the outside. */
export const MOVE_SIDE_HEADER = "x-edgenova-move-side";
export const MOVE_STREAM_HEADER = "x-edgenova-move-stream";

/** The stream that a path names; null when no move has such a one. */
export function moveStream(text: string): number | null {
  return /^\d{1,2}$/.test(text) && Number(text) < MAX_MOVE_STREAMS ? Number(text) : null;
}
