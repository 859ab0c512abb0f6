/** From where a caller tries, as far as that can be held against him. */
import type { Context } from "hono";
import type { AppEnv } from "../api/app-env.ts";

/** The caller's network. Cloudflare sets the header, and takes away what a caller sent in it. */
export function addressOf(c: Context<AppEnv>): string {
  return network(c.req.header("cf-connecting-ip") ?? "unknown");
}

/** An IPv4 address as it is; of IPv6 the /64, which one subscriber has whole, with 2^64 addresses to guess from. */
export function network(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [left, right] = [groups(head), groups(tail ?? "")];
  const zeros = tail === undefined ? 0 : Math.max(0, IPV6_GROUPS - left.length - right.length);
  const all = [...left, ...new Array<string>(zeros).fill("0"), ...right];
  const short = all.slice(0, IPV6_GROUPS / 2).map((group) => group.replace(/^0+(?=.)/, ""));
  return `${short.join(":")}::/64`;
}

const IPV6_GROUPS = 8;
