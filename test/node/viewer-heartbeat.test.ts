import { describe, expect, it } from "vitest";
import { Heartbeat, LOOK_MS, PING_MS, SILENCE_MS, WAKE_MS } from "../../functions/console/page/heartbeat.ts";

/** Looks from `from` to `to`, both included, and gives the time of each verdict that is not "fine". */
function watch(heart: Heartbeat, from: number, to: number): [number, string][] {
  const found: [number, string][] = [];
  for (let now = from; now <= to; now += LOOK_MS) {
    const verdict = heart.look(now);
    if (verdict !== "fine") found.push([now, verdict]);
  }
  return found;
}

describe("the heartbeat of a connection", () => {
  it("pings now and then, and takes a silence for death", () => {
    const [first] = watch(new Heartbeat(0), LOOK_MS, SILENCE_MS);
    expect(first).toEqual([PING_MS, "ping"]);
    expect(watch(new Heartbeat(0), LOOK_MS, SILENCE_MS).at(-1)).toEqual([SILENCE_MS, "dead"]);
  });

  it("lives by anything that is heard", () => {
    const heart = new Heartbeat(0);
    watch(heart, LOOK_MS, SILENCE_MS - LOOK_MS);
    heart.heard(SILENCE_MS - LOOK_MS);
    expect(watch(heart, SILENCE_MS, 2 * SILENCE_MS - 2 * LOOK_MS).map(([, verdict]) => verdict)).not.toContain("dead");
    expect(heart.look(2 * SILENCE_MS - LOOK_MS)).toBe("dead");
  });

  it("asks at once after a sleep, and waits for the answer only shortly", () => {
    const heart = new Heartbeat(0);
    const woke = 3_600_000;
    expect(heart.look(woke)).toBe("ping");
    expect(watch(heart, woke + LOOK_MS, woke + WAKE_MS)).toEqual([[woke + WAKE_MS, "dead"]]);
  });

  it("is the median of the last round trips, whatever the clock does", () => {
    const heart = new Heartbeat(0);
    expect(heart.latency).toBeNull();
    for (const trip of [10, 900, 20, 30, 40]) heart.pong(1000, 1000 + trip);
    expect(heart.latency).toBe(30);
    heart.pong(5000, 1000);
    expect(heart.latency).toBe(30);
  });
});
