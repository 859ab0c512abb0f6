/** Filters and weighers that are Workers: what their answers count as, the bad ones too. */
import { describe, expect, it } from "vitest";
import { boundFilter, boundWeigher } from "../../functions/scheduler/bound.ts";
import { Unweighable } from "../../functions/scheduler/weighers/weigher.ts";
import { candidate, requestOf } from "./candidates.ts";

const HOSTS = [candidate({ host: "a" }), candidate({ host: "b" })];
const never = () => new Promise<never>(() => {});

/** What a Worker may send, whatever it promised. */
const ANSWERS: [string, () => unknown][] = [
  ["nothing in time", never],
  ["an error", () => Promise.reject(new Error("broken"))],
  ["no list", () => ({ hosts: ["a"] })],
  ["a list of something else", () => [1, null]],
];

describe("a filter's Worker", () => {
  const asked = async (filterAll: () => unknown, onFailure: "pass" | "fail") => {
    const service = { filterAll } as { filterAll(): string[] };
    const { left } = await boundFilter({ name: "F", service, onFailure, timeoutMs: 20 }).askAll(HOSTS, requestOf());
    return left.map(({ host }) => host);
  };
  it("lets those through whom it names, and nobody who was not asked about", async () => {
    expect(await asked(() => ["b", "somebody-else"], "pass")).toEqual(["b"]);
    expect(await asked(async () => [], "pass")).toEqual([]);
  });
  it.each(ANSWERS)("that gives %s fails as its option says", async (_, answer) => {
    expect(await asked(answer, "pass")).toEqual(["a", "b"]);
    expect(await asked(answer, "fail")).toEqual([]);
  });
});

describe("a weigher's Worker", () => {
  const asked = (weighAll: () => unknown, onFailure: "pass" | "fail") => {
    const service = { weighAll } as { weighAll(): number[] };
    return boundWeigher({ name: "W", service, onFailure, timeoutMs: 20 }).askAll(HOSTS, requestOf());
  };
  it("gives each host its number", async () => {
    expect(await asked(() => [1, -2.5], "fail")).toEqual([1, -2.5]);
  });
  it.each([...ANSWERS, ["too few numbers", () => [1]], ["no number", () => [1, Number.NaN]]] as const)(
    "that gives %s fails as its option says",
    async (_, answer) => {
      expect(await asked(answer, "pass")).toBeNull();
      await expect(asked(answer, "fail")).rejects.toThrow(Unweighable);
    },
  );
});
