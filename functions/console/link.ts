/** A link to a screen: what it gives, to whom, and whether it still does. Pure. */
import ipaddr from "ipaddr.js";
import type { ScreenBinding } from "../conductor/screen.ts";
import type { Actor } from "../identity/actor.ts";
import type { Why } from "../protocol/console-session.ts";
import type { VncAddress } from "../protocol/guest.ts";

/** Who gave it; what he may not any more, the link may not. */
export type Giver = Pick<Actor, "user_id" | "user_name" | "project_id" | "app_credential" | "is_admin">;
export type Rights = { input: boolean; clipboard: boolean; power: boolean };

/** What whoever has the link may do. `uses`: sessions that it opens; null: any number until it expires. */
export type Terms = {
  label: string;
  rights: Rights;
  uses: number | null;
  /** Addresses and networks (CIDR) that it opens from; none: from everywhere. */
  addresses: string[];
  /** Whether its sessions end when it expires. */
  ends_sessions: boolean;
};

/** `console`: a token of Nova's own call; `link`: one that is handed out. */
export type LinkKind = "console" | "link";
export type Revoked = "revoked" | "pin" | "locked_out" | "locked";

/** Times in ms since the epoch. */
export type NewLink = {
  id: string;
  /** SHA-256 of the token, hex. */
  hash: string;
  kind: LinkKind;
  terms: Terms;
  /** scrypt's text (identity/password.ts). */
  pin: string | null;
  giver: Giver;
  bound: ScreenBinding;
  /** Where the screen was, for proxies of an operator's own (nova: ConsoleAuthToken). */
  host: string;
  connect: VncAddress;
  created_at: number;
  expires_at: number;
};
export type Link = NewLink & {
  used: number;
  revoked_at: number | null;
  revoked_why: Revoked | null;
  pin_failures: number;
};

/** How long a link is known after it expired, so that who has it can be told. */
export const LINK_KEEP_MS = 86_400_000;

/** PINs are short; after this many wrong ones in a row the link is withdrawn. */
export const MAX_PIN_FAILURES = 5;

/** Why there is no session; `since` in ms since the epoch, `ask` is who can give a new link. */
export type Refused = { why: Why; since: number | null; ask: string | null; power: boolean };

export const refusedBecause = (why: Why, more: Partial<Refused> = {}): Refused => ({
  why,
  since: null,
  ask: null,
  power: false,
  ...more,
});

export type LinkState = "active" | "expired" | "used_up" | "revoked" | "server_restarted";

/** @param screen the server's as it is; null: there is none, so that no link opens one */
export function stateOf(link: Link, screen: ScreenBinding | null, at: number): LinkState {
  if (link.revoked_at !== null) return "revoked";
  if (link.expires_at <= at) return "expired";
  if (link.terms.uses !== null && link.used >= link.terms.uses) return "used_up";
  const { generation, screens_ended } = link.bound;
  const same = screen?.generation === generation && screen.screens_ended === screens_ended;
  return same ? "active" : "server_restarted";
}

/** Why the link opens no session from `address` now; null when nothing about the link keeps it from it. */
export function refusalOf(link: Link, address: string, at: number): Refused | null {
  const ask = link.giver.user_name;
  const { revoked_at, revoked_why } = link;
  if (revoked_at !== null) {
    const why = revoked_why === "locked_out" || revoked_why === "locked" ? revoked_why : "revoked";
    return refusedBecause(why, { since: revoked_at, ask });
  }
  if (link.expires_at <= at) return refusedBecause("expired", { since: link.expires_at, ask });
  if (link.terms.uses !== null && link.used >= link.terms.uses) return refusedBecause("used_up", { ask });
  return isFrom(link.terms.addresses, address) ? null : refusedBecause("address", { ask });
}

/** An address or a network of them, IPv4 or IPv6. */
export function isAddresses(text: string): boolean {
  return ipaddr.isValid(text) || ipaddr.isValidCIDR(text);
}

/** Whether `address` is one of `ranges`, or there are none. An address that is none is in no range. */
function isFrom(ranges: readonly string[], address: string): boolean {
  if (ranges.length === 0) return true;
  if (!ipaddr.isValid(address)) return false;
  const from = ipaddr.process(address);
  return ranges.some((range) => {
    const [base, bits] = range.includes("/") ? ipaddr.parseCIDR(range) : whole(ipaddr.process(range));
    return from.kind() === base.kind() && from.match(base, bits);
  });
}

const whole = (address: ipaddr.IPv4 | ipaddr.IPv6) => [address, address.kind() === "ipv4" ? 32 : 128] as const;
