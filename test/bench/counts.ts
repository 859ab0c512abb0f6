/** What an operation made the edge do: the things that a deployment is billed for. */

export type Counts = {
  /** Requests to the Worker. */
  requests: number;
  /** Calls from the Worker or an object to an object, by binding and method: `PROJECT.list`. */
  calls: Record<string, number>;
  /** Objects that were woken, by class. */
  woken: Record<string, number>;
  /** Objects that got their first tables, by class. */
  made: Record<string, number>;
  /** Of SQL and of the key-value store, which is a table too. */
  rowsRead: number;
  rowsWritten: number;
  alarmsSet: number;
};

/** Where a counted edge tells its counts, to GET. */
export const COUNTS_PATH = "/counts";

export const noCounts = (): Counts => ({
  requests: 0,
  calls: {},
  woken: {},
  made: {},
  rowsRead: 0,
  rowsWritten: 0,
  alarmsSet: 0,
});

/** What came to be counted from `before` to `after`. */
export function difference(before: Counts, after: Counts): Counts {
  return {
    requests: after.requests - before.requests,
    calls: grown(before.calls, after.calls),
    woken: grown(before.woken, after.woken),
    made: grown(before.made, after.made),
    rowsRead: after.rowsRead - before.rowsRead,
    rowsWritten: after.rowsWritten - before.rowsWritten,
    alarmsSet: after.alarmsSet - before.alarmsSet,
  };
}

export const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);

function grown(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const all = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(all.filter(([, count]) => count !== 0));
}
