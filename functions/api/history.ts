/**
 * What changed at which microversion 2.x: the one place that says so (nova/api/openstack/compute/rest_api_version_history.rst).
 * Tables of fields and operations name a row of it; code that must differ asks `has`.
 */

/** The first and the last minor that has something; since 2.1 and until now where left out. */
export type Range = { since?: number; until?: number };

export const HISTORY = {
  "limits.image-meta": { until: 38 },
  "limits.network": { until: 35 },
  "limits.personality": { until: 56 },
} as const satisfies Record<string, Range>;
export type Feature = keyof typeof HISTORY;

/** Whether 2.<minor> has `feature`. */
export function has(minor: number, feature: Feature): boolean {
  const { since = 1, until = Number.POSITIVE_INFINITY }: Range = HISTORY[feature];
  return since <= minor && minor <= until;
}
