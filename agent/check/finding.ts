/** What a check found, and how a person or a program reads it. */

/** `warning`: the host works, and worse than it could. `skipped`: it cannot be told yet. */
export type State = "ok" | "warning" | "failed" | "skipped";
/** `says` is a sentence's worth of plain words; `mend` a command, or what to do where there is none. */
export type Finding = { check: string; state: State; says: string; mend?: string };

const MARKS: Record<State, string> = { ok: "✓", warning: "!", failed: "✗", skipped: "–" };

export function isReady(findings: readonly Finding[]): boolean {
  return findings.every(({ state }) => state === "ok" || state === "warning");
}

/** Aligned columns, what to do below what it mends, and the sum of it in the last line. */
export function readable(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, state, says, mend }) => [
    `${MARKS[state]} ${check.padEnd(width)}  ${says}`,
    ...(mend === undefined ? [] : [`  ${" ".repeat(width)}  → ${mend}`]),
  ]);
  return `${[...lines, "", sum(findings)].join("\n")}\n`;
}

export function json(findings: readonly Finding[]): string {
  return `${JSON.stringify({ ready: isReady(findings), checks: findings }, null, 2)}\n`;
}

function sum(findings: readonly Finding[]): string {
  if (isReady(findings)) return "This host is ready.";
  const failed = findings.filter(({ state }) => state === "failed").length;
  return `This host is not ready: ${failed} of ${findings.length} checks failed.`;
}
