/** The headers by which the Worker tells a `Console` object who comes: never headers of the outside. */

/** Which side an upgrade is, as the Worker found out: `agent`, `page` or `stock`. */
export const SIDE_HEADER = "x-edgenova-side";
/** The connection of a session, of `agent` and `page`. */
export const SESSION_HEADER = "x-edgenova-session";
export const LEG_HEADER = "x-edgenova-leg";
/** A token's SHA-256, and the caller's address, of `stock`. */
export const HASH_HEADER = "x-edgenova-token-hash";
export const ADDRESS_HEADER = "x-edgenova-address";
