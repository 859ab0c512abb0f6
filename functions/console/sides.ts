/** The headers by which the Worker tells a `Console` object who comes: never headers of the outside. */

/** Which side an upgrade is, as the Worker found out. */
export const SIDE_HEADER = "x-edgenova-side";
export const SESSION_HEADER = "x-edgenova-session";
