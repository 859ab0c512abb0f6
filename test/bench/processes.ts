/**
 * What processes hold and use, by /proc (Linux). Memory is PSS for all of them: private pages in full, and of each
 * shared page this process's part, so that neither forked children nor the text of Node is counted twice.
 */
import { readdirSync, readFileSync } from "node:fs";

const KIB = 1024;
/** Linux's USER_HZ: /proc counts processor time in these. */
const TICK_MS = 10;

/** Bytes, summed. A process that has ended counts as nothing. */
export function pss(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + pssOf(pid), 0);
}

/** Milliseconds of processor time so far, summed, with those of children that have ended. */
export function cpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuOf(pid), 0);
}

/** Nanoseconds of processor time so far, summed, of the threads that run now: finer than `cpuMs`. */
export function cpuNs(pids: readonly number[]): number {
  const threads = pids.flatMap((pid) => readdirSync(`/proc/${pid}/task`).map((id) => `/proc/${pid}/task/${id}`));
  return threads.reduce((sum, path) => sum + Number(read(`${path}/schedstat`)?.split(" ")[0] ?? 0), 0);
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

/** proc(5): utime, stime, cutime and cstime are fields 14 to 17. */
function cpuOf(pid: number): number {
  const ticks = stat(pid).slice(11, 15);
  return ticks.reduce((sum, one) => sum + Number(one) * TICK_MS, 0);
}

function parentOf(pid: number): number | null {
  const parent = stat(pid)[1];
  return parent === undefined ? null : Number(parent);
}

/** Fields 3 and on of /proc/PID/stat: the second, a name in brackets, may hold anything. None for a process that ended. */
function stat(pid: number): string[] {
  return (
    /\) ([^)]*)$/
      .exec(read(`/proc/${pid}/stat`) ?? "")?.[1]
      ?.trim()
      .split(" ") ?? []
  );
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // ended meanwhile
  }
}
