/** How a person reads it: aligned, with times as spans from now. */

const SECOND_MS = 1000;
const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
/** Up to here hours say more than days. */
const MAX_HOURS = 48;
const KIB = 1024;

/** Others choose labels and names: none of them may move the cursor or turn the line around in somebody's terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "?");
}

/** Columns by their longest cell, two blanks apart; the first row is the heads. */
export function table(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map(printable));
  const widths = (clean[0] ?? []).map((_, column) => Math.max(...clean.map((row) => row[column]?.length ?? 0)));
  return clean
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** A line for each fact, indented. */
export function facts(all: readonly (readonly [name: string, value: string])[]): string {
  return table(all.map(([name, value]) => [`  ${name}`, value]));
}

/** "in 59 min", "2 h ago", "now". `time` is ISO 8601. */
export function relative(time: string, nowMs: number): string {
  const seconds = Math.round((Date.parse(time) - nowMs) / SECOND_MS);
  if (Number.isNaN(seconds)) return time;
  if (seconds === 0) return "now";
  return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

/** The relative time, and the time itself in UTC to the minute. */
export function moment(time: string, nowMs: number): string {
  const ms = Date.parse(time);
  if (Number.isNaN(ms)) return time;
  return `${relative(time, nowMs)} (${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC)`;
}

export function span(seconds: number): string {
  const minutes = Math.round(seconds / MINUTE_S);
  const hours = Math.round(seconds / HOUR_S);
  if (seconds < MINUTE_S) return `${Math.round(seconds)} s`;
  if (minutes < MINUTE_S) return `${minutes} min`;
  return hours < MAX_HOURS ? `${hours} h` : `${Math.round(seconds / DAY_S)} days`;
}

export function size(bytes: number): string {
  if (bytes < KIB) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / KIB ** power;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${["", "KiB", "MiB", "GiB", "TiB"][power]}`;
}
