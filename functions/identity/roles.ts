/** Which roles a role brings with it. */
import { LADDER } from "./tables.ts";

/** The names with those they imply: an admin is a manager, who is a member, who is a reader. */
export function withImplied(names: readonly string[]): string[] {
  const top = LADDER.findIndex((rung) => names.includes(rung.name));
  if (top === -1) return [...names];
  const own = names.filter((name) => LADDER.every((rung) => rung.name !== name));
  return [...LADDER.slice(top).map((rung) => rung.name), ...own];
}
