/** The moments of each operation in which something may happen to its agent or its edge: some in every step of its flow. */

/**
 * `answer`: the API has just answered. `while spawn`: the driver is at work. Everything else is on the wire, by its
 * label (wire.ts), and is held there.
 */
export type Moment = string;

const around = (method: string, ...within: Moment[]): Moment[] => [
  `call ${method}`,
  ...within,
  `while ${method}`,
  `result ${method}`,
  `ack ${method}`,
];

/** By the flow's name at the edge, and the names of its steps. */
export const MOMENTS = {
  build: { schedule: ["answer"], claim: ["answer"], spawn: around("spawn", "GET image") },
  delete: { dismiss: ["answer", ...around("destroy")] },
  rebuild: { schedule: ["answer"], rebuild: around("rebuild", "GET image") },
  create_image: {
    snapshot: ["answer", ...around("snapshot")],
    upload: ["call upload_snapshot", "GET file", "PUT file", "POST file", "result upload_snapshot"],
    finish: ["ack upload_snapshot"],
  },
} as const satisfies Record<string, Record<string, readonly Moment[]>>;

export type OperationName = keyof typeof MOMENTS;
export const OPERATION_NAMES = Object.keys(MOMENTS) as OperationName[];

export function momentsOf(operation: OperationName): Moment[] {
  return [...new Set(Object.values<readonly Moment[]>(MOMENTS[operation]).flat())];
}
