/** Quotas (nova: quota.py). A limit of -1 is none. */
export type Usage = { instances: number; cores: number; ram: number };
export type QuotaExceeded = {
  kind: "over_quota";
  /** Only the resources that do not fit, in Nova's order of words: sorted by name. */
  over: { resource: keyof Usage; requested: number; used: number; limit: number }[];
};

const RESOURCES = ["cores", "instances", "ram"] as const;

/** What of `wanted` does not fit beside `used`; null when all does. */
export function exceeds(limits: Usage, used: Usage, wanted: Usage): QuotaExceeded | null {
  const over = RESOURCES.filter((name) => limits[name] !== -1 && used[name] + wanted[name] > limits[name]);
  if (over.length === 0) return null;
  return {
    kind: "over_quota",
    over: over.map((resource) => ({
      resource,
      requested: wanted[resource],
      used: used[resource],
      limit: limits[resource],
    })),
  };
}

/** Nova's text (nova.exception.TooManyInstances). */
export function quotaMessage({ over }: QuotaExceeded): string {
  const list = (part: (row: QuotaExceeded["over"][number]) => number | string) => over.map(part).join(", ");
  const names = list((row) => row.resource);
  return (
    `Quota exceeded for ${names}: Requested ${list((row) => row.requested)}, ` +
    `but already used ${list((row) => row.used)} of ${list((row) => row.limit)} ${names}`
  );
}
