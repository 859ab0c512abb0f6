/** Nova's two ways to write a time, from ours: ISO 8601 in UTC with milliseconds. */

/** To the second, with its zone: `2026-05-05T10:20:30Z`. */
export const seconds = (iso: string): string => `${iso.slice(0, 19)}Z`;

/** To the microsecond, in UTC without saying so: `2026-05-05T10:20:30.123000`. What has not happened stays null. */
export function microseconds(iso: string): string;
export function microseconds(iso: string | null): string | null;
export function microseconds(iso: string | null): string | null {
  return iso && `${iso.slice(0, 23)}000`;
}
