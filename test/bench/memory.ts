/**
 * What processes hold, by /proc (Linux). The measure is PSS for all of them: private pages in full, and of each shared
 * page this process's part, so that neither forked children nor the text of Node is counted twice.
 */
import { readdirSync, readFileSync } from "node:fs";

const KIB = 1024;

/** Bytes, summed. A process that has ended counts as nothing. */
export function pss(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + pssOf(pid), 0);
}

/** The process and everything below it. */
export function tree(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : null;
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (one: number): number[] => [one, ...(children.get(one) ?? []).flatMap(below)];
  return below(pid);
}

function pssOf(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? "")?.[1];
  return Number(kib ?? 0) * KIB;
}

function parentOf(pid: number): number | null {
  // The name, in brackets, may hold anything; what follows it is: state, parent, …
  const parent = /\) \S (\d+) [^)]*$/.exec(read(`/proc/${pid}/stat`) ?? "")?.[1];
  return parent === undefined ? null : Number(parent);
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // ended meanwhile
  }
}
