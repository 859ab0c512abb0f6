/** What people write on the command line, read strictly. */
import { randomInt } from "node:crypto";
import { isIP } from "node:net";
import { InvalidArgumentError } from "commander";
import { MAX_LABEL_CHARS } from "../../functions/protocol/console.ts";
import { PIN } from "../../functions/protocol/console-session.ts";

const UNIT_S = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
/** Ten thousand tries a guess, and a link's tries are limited; short enough to be told. */
const PIN_DIGITS = 6;

/** Seconds. */
export function duration(text: string): number {
  const { count, unit } = /^(?<count>[1-9]\d{0,6})(?<unit>[smhd])$/.exec(text)?.groups ?? {};
  if (count === undefined) throw new InvalidArgumentError("Write a number and its unit: 45s, 30m, 12h or 7d.");
  return Number(count) * UNIT_S[unit as keyof typeof UNIT_S];
}

export function positive(text: string): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value > 0) return value;
  throw new InvalidArgumentError("It must be a whole number above 0.");
}

export function pin(text: string): string {
  if (PIN.test(text)) return text;
  throw new InvalidArgumentError("It must be 4 to 12 digits; --pin at the end, without digits, has them made.");
}

export function makePin(): string {
  return String(randomInt(10 ** PIN_DIGITS)).padStart(PIN_DIGITS, "0");
}

/** Adds an address or a range (CIDR) to those before it. */
export function addresses(text: string, before: readonly string[] = []): string[] {
  const [address = "", prefix, ...more] = text.split("/");
  const bits = { 4: 32, 6: 128 }[isIP(address)];
  const inRange = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (bits ?? 0));
  if (bits !== undefined && inRange && more.length === 0) return [...before, text];
  throw new InvalidArgumentError("Write an address or a range of them: 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.");
}

export function label(text: string): string {
  if ([...text].length <= MAX_LABEL_CHARS && !/\p{Cc}/u.test(text)) return text;
  throw new InvalidArgumentError(`It must be at most ${MAX_LABEL_CHARS} characters on one line.`);
}
