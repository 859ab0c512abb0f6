/** A guest's own time: how long it has run since its boot. It stands still while the guest is held or off. Pure. */
import { z } from "zod";

/** Times are in milliseconds since 1970. `halted_at` null is a clock that runs; `halted_ms` is how long it stood before. */
export const guestClock = z.object({
  booted_at: z.number(),
  halted_at: z.number().nullable().default(null),
  halted_ms: z.number().default(0),
});
export type GuestClock = z.infer<typeof guestClock>;

export function clockFrom(booted_at: number): GuestClock {
  return { booted_at, halted_at: null, halted_ms: 0 };
}

/** Milliseconds that the guest has run. A clock of the host that was set back counts as none. */
export function age({ booted_at, halted_at, halted_ms }: GuestClock, now: number): number {
  return Math.max(0, (halted_at ?? now) - booted_at - halted_ms);
}

export function halt<T extends GuestClock>(guest: T, now: number): T {
  return { ...guest, halted_at: guest.halted_at ?? now };
}

export function goOn<T extends GuestClock>(guest: T, now: number): T {
  const stood = guest.halted_at === null ? 0 : Math.max(0, now - guest.halted_at);
  return { ...guest, halted_at: null, halted_ms: guest.halted_ms + stood };
}
