/** When a host is up: Nova's rule, and what is no silence of the host's. Times in seconds, as Nova's defaults are. */
import { describe, expect, it } from "vitest";
import {
  isUp,
  look,
  lookAfterMs,
  NEVER_SEEN,
  serviceDownTime,
  type Times,
  unlinked,
  type Watched,
  woken,
} from "../../functions/compute/liveness.ts";

const TIMES: Times = { reportMs: 10_000, downMs: 60_000 };
const s = (seconds: number) => seconds * 1000;
const LINKED: Watched = { state: "linked" };
const since = (seen: number, silent: number, looked: number): Watched => ({
  state: "unlinked",
  seen_at: s(seen),
  silent_ms: s(silent),
  looked_at: s(looked),
});
const down = (seen: number | null): Watched => ({ state: "down", seen_at: seen === null ? null : s(seen) });

describe("service_down_time", () => {
  it.each([
    [10, 60, 60],
    [10, 11, 11],
    [10, 10, 25],
    [60, 60, 150],
    [100, 1, 250],
  ])("beside a report_interval of %d: %d is %d", (REPORT_INTERVAL, SERVICE_DOWN_TIME, is) => {
    expect(serviceDownTime({ REPORT_INTERVAL, SERVICE_DOWN_TIME })).toBe(is);
  });

  it.each([
    [10, 60],
    [10, 25],
    [3, 7.5],
    [1, 2.5],
    [7, 8],
  ])(
    "is the least time between two looks at a linked host (report_interval %d, service_down_time %d)",
    (report, time) => {
      const times = { reportMs: s(report), downMs: s(time) };
      // Heartbeats at k * report: a look finds the last one before it.
      for (let at = lookAfterMs(times), looks = 0; looks < 50; looks++) {
        const seenAt = Math.floor(at / times.reportMs) * times.reportMs;
        const { nextAt } = look(LINKED, { now: at, seenAt, plannedAt: at }, times);
        expect(nextAt! - at).toBeGreaterThanOrEqual(times.downMs);
        at = nextAt!;
      }
    },
  );
});

describe("is up", () => {
  it.each<[string, Watched, number, number | null, boolean]>([
    ["linked, a heartbeat just now", LINKED, 100, 99, true],
    ["linked, a heartbeat service_down_time ago", LINKED, 100, 40, true],
    ["linked, a heartbeat longer ago", LINKED, 100.001, 40, false],
    ["unlinked 5 s ago", since(98, 2, 100), 105, null, true],
    ["unlinked, silent for service_down_time", since(98, 50, 148), 158, null, true],
    ["unlinked, silent for longer", since(98, 50, 148), 158.001, null, false],
    ["unlinked, and nobody looked for ten minutes", since(98, 2, 100), 700, null, true],
    ["found down, whatever time passes", down(98), 99, null, false],
    ["never seen", NEVER_SEEN, 0, null, false],
  ])("%s", (_, watched, now, seenAt, up) => {
    expect(isUp(watched, { now: s(now), seenAt: seenAt === null ? null : s(seenAt) }, TIMES)).toBe(up);
  });
});

describe("coming into memory", () => {
  it.each<[string, Watched, number | null, Watched]>([
    ["with the socket, after a sleep", LINKED, 95, LINKED],
    ["without the socket that it had: the edge was away", LINKED, null, since(100, 0, 100)],
    ["while it waits for the agent", since(50, 3, 53), null, since(50, 3, 53)],
    ["of a host that is down", down(3), null, down(3)],
    ["of a host that never was", NEVER_SEEN, null, NEVER_SEEN],
  ])("%s", (_, before, seenAt, after) => {
    expect(woken(before, { now: s(100), seenAt: seenAt === null ? null : s(seenAt) })).toEqual(after);
  });
});

describe("the end of a link", () => {
  it.each<[string, Watched, number, Watched]>([
    ["counts from its last heartbeat", LINKED, 93, since(93, 7, 100)],
    ["after a silence that no look saw, as the machine slept, counts from now", LINKED, 10, since(10, 0, 100)],
    ["that the edge ended itself changes nothing", down(30), 30, down(30)],
  ])("%s", (_, before, seenAt, after) => {
    expect(unlinked(before, s(seenAt), s(100), TIMES)).toEqual(after);
  });
});

describe("a look", () => {
  it.each<[string, Watched, { now: number; seenAt: number | null; plannedAt: number }, Watched, number | null]>([
    ["finds heartbeats", LINKED, { now: 65, seenAt: 60, plannedAt: 65 }, LINKED, 125],
    ["finds some that are late", LINKED, { now: 65, seenAt: 20, plannedAt: 65 }, LINKED, 85],
    ["finds none", LINKED, { now: 85, seenAt: 20, plannedAt: 85 }, down(20), null],
    ["finds none, and is late itself", LINKED, { now: 685, seenAt: 20, plannedAt: 85 }, LINKED, 695],
    ["finds no socket", LINKED, { now: 65, seenAt: null, plannedAt: 65 }, since(65, 0, 65), 75],
    ["counts a silence", since(0, 2, 2), { now: 12, seenAt: null, plannedAt: 12 }, since(0, 12, 12), 22],
    ["ends exactly", since(0, 52, 52), { now: 60, seenAt: null, plannedAt: 60 }, since(0, 60, 60), 60.001],
    ["has heard enough", since(0, 60, 60), { now: 60.001, seenAt: null, plannedAt: 60.001 }, down(0), null],
    [
      "is late: the edge was away",
      since(0, 52, 52),
      { now: 660, seenAt: null, plannedAt: 60 },
      since(0, 52, 660),
      668.001,
    ],
    ["at a host that is down is the last", down(0), { now: 99, seenAt: null, plannedAt: 99 }, down(0), null],
  ])("%s", (_, before, sight, after, nextAt) => {
    const ms = {
      now: s(sight.now),
      seenAt: sight.seenAt === null ? null : s(sight.seenAt),
      plannedAt: s(sight.plannedAt),
    };
    expect(look(before, ms, TIMES)).toEqual({ watched: after, nextAt: nextAt === null ? null : s(nextAt) });
  });

  it("finds a dead host down service_down_time after the edge's return, however often the edge is away", () => {
    let watched = woken(LINKED, { now: 0, seenAt: null });
    let there = 0;
    // Away for ten minutes after every third look.
    for (let now = s(10), looks = 1; watched.state !== "down"; looks++) {
      const away = looks % 3 === 0 ? s(600) : 0;
      const next = look(watched, { now: now + away, seenAt: null, plannedAt: now }, TIMES);
      if (away === 0) there += s(10);
      watched = next.watched;
      now = next.nextAt ?? now;
      expect(looks).toBeLessThan(20);
    }
    expect(there).toBeGreaterThanOrEqual(TIMES.downMs);
    expect(there).toBeLessThanOrEqual(TIMES.downMs + TIMES.reportMs);
  });
});
