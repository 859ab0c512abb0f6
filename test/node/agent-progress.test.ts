/** What the edge is told while a call lasts: how often, and of what. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Progress, type Report, reportOf } from "../../agent/progress.ts";
import type { Progress as Frame } from "../../functions/protocol/frames.ts";
import { gate } from "./agent-support.ts";

let sent: Frame[];
let progress: Progress;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  progress = new Progress((frame) => sent.push(frame));
});
afterEach(() => vi.useRealTimers());

/** A call that lasts until it is ended, and what tells of it. */
function begin(call: string): { report: Report; end(): Promise<void> } {
  const { open, opened } = gate();
  let report: Report = () => undefined;
  const ended = progress.during(call, async () => {
    report = reportOf();
    await opened;
  });
  return {
    report: (...args) => report(...args),
    end: () => {
      open();
      return ended;
    },
  };
}

it("says nothing of a call that is over within a second, nor after its end", async () => {
  const { report, end } = begin("a");
  report("image", { bytes: 1, of: 2 });
  vi.advanceTimersByTime(999);
  await end();
  report("guest");
  vi.advanceTimersByTime(10_000);
  expect(sent).toEqual([]);
});

it("says once a second what is newest, and only what has changed", async () => {
  const { report, end } = begin("a");
  for (let bytes = 0; bytes <= 10_000; bytes += 10) {
    report("image", { bytes, of: 10_000 });
    vi.advanceTimersByTime(10);
  }
  const percents = sent.map(({ percent }) => percent);
  expect(percents.length).toBeGreaterThan(5);
  expect(percents.length).toBeLessThanOrEqual(10);
  expect(percents).toEqual([...new Set(percents)].toSorted((a, b) => a - b));
  expect(sent[4]).toMatchObject({ t: "progress", call: "a", stage: "image", percent: 44, bytes: 4990, of: 10_000 });
  report("image", { bytes: 10_000, of: 10_000 });
  report("guest");
  vi.advanceTimersByTime(1000);
  expect(sent.at(-1)).toEqual({ t: "progress", call: "a", stage: "guest", percent: 90 });
  const before = sent.length;
  report("guest");
  vi.advanceTimersByTime(60_000);
  expect(sent).toHaveLength(before);
  await end();
});

it("keeps calls apart, and knows an empty image and one that is longer than it said", async () => {
  const [one, two] = [begin("one"), begin("two")];
  one.report("image", { bytes: 0, of: 0 });
  two.report("upload", { bytes: 3, of: 2 });
  vi.advanceTimersByTime(1000);
  expect(sent.map(({ call, percent }) => [call, percent])).toEqual([
    ["one", 0],
    ["two", 100],
  ]);
  await Promise.all([one.end(), two.end()]);
});

it("is nobody's outside of a call", () => {
  reportOf()("guest");
  vi.advanceTimersByTime(10_000);
  expect(sent).toEqual([]);
});
