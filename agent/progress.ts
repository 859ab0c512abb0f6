/**
 * How far a call has come, told to the edge while it lasts: of each call at most one frame a second, only what changed,
 * and nothing of a call that is over within the first second. Frames are lost with the link, and nobody misses them.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Progress as Frame } from "../functions/protocol/frames.ts";
import type { LiveProgress } from "./drivers/driver.ts";

type Stage = "waiting" | "image" | "guest" | "upload" | "disk" | "memory";
type Done = { bytes: number; of: number } & Partial<LiveProgress>;
export type Report = (stage: Stage, done?: Done) => void;

const EVERY_MS = 1000;
/** Percent of a call that are done when its stage begins, and that the stage is worth. */
const WORTH: Record<Stage, readonly [from: number, worth: number]> = {
  waiting: [0, 0],
  image: [0, 90],
  guest: [90, 0],
  upload: [0, 100],
  disk: [0, 100],
  memory: [0, 100],
};

const reports = new AsyncLocalStorage<Report>();

/** What tells of the call that this runs for; outside of one, nothing does. */
export function reportOf(): Report {
  return reports.getStore() ?? (() => undefined);
}

export class Progress {
  readonly #send: (frame: Frame) => void;

  constructor(send: (frame: Frame) => void) {
    this.#send = send;
  }

  /** Does a call's work, and sends what is reported on the way. */
  async during<T>(call: string, work: () => Promise<T>): Promise<T> {
    let said = "";
    let over = false;
    let next: Frame | undefined;
    let timer: NodeJS.Timeout | undefined;
    const send = () => {
      timer = undefined;
      if (next === undefined || keyOf(next) === said) return;
      said = keyOf(next);
      this.#send(next);
    };
    const report: Report = (stage, done) => {
      const [from, worth] = WORTH[stage];
      const share = done === undefined || done.of === 0 ? 0 : Math.min(1, done.bytes / done.of);
      next = { t: "progress", call, stage, percent: from + Math.floor(worth * share), ...done };
      if (!over && keyOf(next) !== said) timer ??= setTimeout(send, EVERY_MS).unref();
    };
    try {
      return await reports.run(report, work);
    } finally {
      over = true;
      clearTimeout(timer);
    }
  }
}

/** What is news. What a live migration has left goes up and down, and Nova shows it. */
const keyOf = ({ stage, percent, memory_remaining, disk_remaining }: Frame) =>
  [stage, percent, memory_remaining, disk_remaining].join(" ");
