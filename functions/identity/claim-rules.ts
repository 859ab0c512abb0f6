/** What an outside issuer's claims give. */
import type { JWTPayload } from "jose";
import type { ClaimRule } from "../config.ts";

/** The rules that the claims fit. */
export function fitting(rules: readonly ClaimRule[], claims: JWTPayload): ClaimRule[] {
  return rules.filter(({ claim, value }) => {
    const said = claimAt(claims, claim);
    if (value === undefined) return said !== undefined && said !== null;
    return Array.isArray(said) ? said.includes(value) : said === value;
  });
}

/** A claim by its name, which may be a URL with dots; else by a path of names with dots between. */
function claimAt(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  return name.split(".").reduce<unknown>((inner, key) => {
    if (typeof inner !== "object" || inner === null || !Object.hasOwn(inner, key)) return undefined;
    return Reflect.get(inner, key);
  }, claims);
}
