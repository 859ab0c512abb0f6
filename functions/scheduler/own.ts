/**
 * The operator's own filters and weighers, by the folder that SCHEDULER_AVAILABLE_FILTERS or SCHEDULER_AVAILABLE_WEIGHERS
 * names. Written by build.ts, which wrangler runs: not by hand.
 */
export const OWN: Readonly<Record<string, readonly object[]>> = {};
