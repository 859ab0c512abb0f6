/** How a host was chosen, or why none was: what operators read. */

/** How many hosts of each are told of by name: the record of a decision is kept with its server. */
export const MAX_REASONS = 5;
export const MAX_BEST = 10;

/** One filter at work: how many hosts came in and went out, and why the first of the others did not. */
export type FilterStep = { name: string; in: number; out: number; reasons: { host: string; reason: string }[] };

/** `raw` in the weigher's own unit; `weighted`: scaled over all hosts, times the multiplier. */
export type Weighing = { name: string; raw: number; weighted: number };
export type Weighed = { host: string; weight: number; weighers: Weighing[] };

export type Decision = {
  /** ISO 8601. */
  at: string;
  /** How many hosts are known. */
  hosts: number;
  filters: FilterStep[];
  /** The best ones, by weight. Empty weighers: there was one host, or none said anything. */
  best: Weighed[];
  /** The host to try first, then its alternates; empty: no valid host was found. */
  chosen: string[];
  /** What failed, where it was neither a filter nor a host. */
  trouble: string | null;
};

/** One line for a person who operates the hosts. */
export function explain({ hosts, filters, chosen, trouble, best }: Decision): string {
  const steps = filters.filter((step) => step.out < step.in).map(stepText);
  const known = hosts === 1 ? "1 host is known." : `${hosts} hosts are known.`;
  const told = [known, ...steps, ...(trouble === null ? [] : [`${trouble}.`])];
  const [first, ...others] = chosen;
  if (first === undefined) return ["No host was chosen:", ...told].join(" ");
  const weight = best.find(({ host }) => host === first)?.weight;
  const by = weight === undefined ? "" : ` (weight ${weight.toFixed(3)})`;
  const alternates = others.length === 0 ? "" : `, alternates ${others.join(", ")}`;
  return [`${first} was chosen${by}${alternates}.`, ...told].join(" ");
}

function stepText({ name, in: before, out, reasons }: FilterStep): string {
  const told = reasons.map(({ host, reason }) => `${host}: ${reason}`);
  const more = before - out - reasons.length;
  if (reasons.length === MAX_REASONS && more > 0) told.push(`and ${more} more`);
  return `${name} let ${out} of ${before} through${told.length > 0 ? ` (${told.join("; ")})` : ""}.`;
}
