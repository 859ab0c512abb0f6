import { expect, it } from "vitest";
import { describe as explain, networkReason } from "../../agent/failure.ts";
import { createLog } from "../../agent/log.ts";

const NOW = () => new Date("2026-11-23T12:34:56.789Z");
function lines(isTTY: boolean): { log: ReturnType<typeof createLog>; written: string[] } {
  const written: string[] = [];
  return { log: createLog({ isTTY, write: (line) => written.push(line) }, NOW), written };
}

it("writes one JSON line an event", () => {
  const { log, written } = lines(false);
  log("call.done", { server: "x", ms: 3, message: "two\nlines" });
  expect(written).toEqual([
    '{"time":"2026-11-23T12:34:56.789Z","event":"call.done","server":"x","ms":3,"message":"two\\nlines"}\n',
  ]);
});

it("is readable on a terminal", () => {
  const { log, written } = lines(true);
  log("link.up", { message: "connected", retry_ms: 5, why: "a b" });
  expect(written[0]).toMatch(/^12:34:56 link\.up +connected retry_ms=5 why="a b"\n$/);
});

it.each([true, false])("blots out what looks like a secret (terminal: %s)", (isTTY) => {
  const { log, written } = lines(isTTY);
  const jwt = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodjEifQ.c2lnbmF0dXJl";
  log("x.y", {
    ticket: "s1",
    join_token: "s2",
    assertion: "s3",
    message: `sent ${jwt}`,
    why: "Bearer s4",
    error: new Error(jwt),
  });
  expect(written[0]).not.toMatch(/s[1-4]|eyJ/);
});

it("explains an error and its causes on one line, with the place", () => {
  const cause = Object.assign(new Error("connect\nfailed"), { code: "ECONNREFUSED" });
  const text = explain(new TypeError("fetch failed", { cause }));
  expect(text).toMatch(
    /^TypeError: fetch failed \(.*agent-log\.test\.ts:\d+:\d+\) <- Error: connect failed \[ECONNREFUSED\]/,
  );
  expect(text).not.toContain("\n");
  expect(networkReason(new TypeError("fetch failed", { cause }))).toBe("ECONNREFUSED");
});
