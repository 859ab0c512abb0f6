import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  expired,
  joined,
  left,
  type Newcomer,
  type Order,
  ordered,
  type Shared,
  seenBy,
  types,
  unshared,
  withSharing,
} from "../../agent/console/sharing.ts";
import { SHARING } from "../../functions/protocol/console.ts";

const guest = (session: string, about: Partial<Newcomer> = {}): Newcomer => ({
  session,
  label: session,
  owner: false,
  input: true,
  ...about,
});
const [ANN, BOB, CAT] = [guest("ann"), guest("bob"), guest("cat")];
const OWNER = guest("owner", { owner: true });
const WATCHER = guest("watcher", { input: false });

const on = (...people: Newcomer[]) => people.reduce(joined, unshared("one"));
const idOf = (shared: Shared, { session }: Newcomer) => shared.people.find((one) => one.session === session)?.id ?? 0;
const order = (shared: Shared, who: Newcomer, what: Order) => ordered(shared, idOf(shared, who), what).after;
const give = (shared: Shared, who: Newcomer, to: Newcomer) => order(shared, who, { t: "give", to: idOf(shared, to) });
const typing = (shared: Shared) =>
  shared.people.filter(({ session }) => types(shared, session)).map((one) => one.label);

describe("control of a screen", () => {
  it("is of who comes first and may type", () => {
    expect(typing(on(WATCHER, ANN, BOB))).toEqual(["ann"]);
    expect(typing(on(WATCHER))).toEqual([]);
  });

  it("is with everybody when the screen is shared so, and then with who came first", () => {
    const all = withSharing(on(WATCHER, ANN, BOB), "all");
    expect(typing(all)).toEqual(["watcher", "ann", "bob"]); // whose rights have no input types nothing for all that
    expect(seenBy(all, 2)).toMatchObject({ you: 2, sharing: "all", control: null });
    expect(typing(withSharing(all, "one"))).toEqual(["ann"]);
    expect(typing(withSharing(on(ANN, BOB), "private"))).toEqual(["ann"]);
    expect(order(all, ANN, { t: "take" })).toBe(all);
  });

  it("is taken by an owner at any time, by others when nobody has it", () => {
    const both = on(ANN, BOB, OWNER);
    expect(order(both, BOB, { t: "take" })).toBe(both);
    expect(typing(order(both, OWNER, { t: "take" }))).toEqual(["owner"]);
    const dropped = order(both, ANN, { t: "drop" });
    expect(typing(dropped)).toEqual([]);
    expect(typing(order(dropped, BOB, { t: "take" }))).toEqual(["bob"]);
    const watched = order(on(ANN, WATCHER), ANN, { t: "drop" });
    expect(order(watched, WATCHER, { t: "take" })).toBe(watched);
  });

  it("is given by who has it, or by an owner, to somebody who is here and may type", () => {
    const four = on(ANN, BOB, WATCHER, guest("owner", { owner: true, input: false }));
    expect(typing(give(four, ANN, BOB))).toEqual(["bob"]);
    expect(typing(give(four, OWNER, BOB))).toEqual(["bob"]);
    expect(give(four, BOB, BOB)).toBe(four);
    expect(give(four, ANN, WATCHER)).toBe(four);
    expect(order(four, ANN, { t: "give", to: 99 })).toBe(four);
    expect(order(four, OWNER, { t: "take" })).toBe(four);
  });

  it("that is asked for is heard of by who has it, and by owners", () => {
    const four = on(ANN, BOB, OWNER, WATCHER);
    const asked = ordered(four, idOf(four, BOB), { t: "ask" });
    expect(asked.tell).toEqual([idOf(four, ANN), idOf(four, OWNER)]);
    expect(ordered(four, idOf(four, ANN), { t: "ask" })).toEqual({ after: four, tell: [] });
    expect(ordered(four, idOf(four, WATCHER), { t: "ask" })).toEqual({ after: four, tell: [] });
    // Asked for again it is told again, and the place in the row stays.
    expect(ordered(asked.after, idOf(four, BOB), { t: "ask" })).toEqual(asked);
    expect(typing(order(asked.after, ANN, { t: "drop" }))).toEqual(["bob"]);
    const free = order(four, ANN, { t: "drop" });
    expect(typing(order(free, BOB, { t: "ask" }))).toEqual(["bob"]);
  });

  it("is kept for who lost the connection, and seen as kept", () => {
    const gone = left(on(ANN, BOB), "ann", { comesBack: true });
    expect(typing(gone)).toEqual([]);
    expect(seenBy(gone, 2)).toMatchObject({ control: 1, people: [{ id: 2, label: "bob" }] });
    expect(order(gone, BOB, { t: "take" })).toBe(gone);
    const back = joined(gone, { ...ANN, label: "ann again" });
    expect(typing(back)).toEqual(["ann again"]);
    expect(idOf(back, ANN)).toBe(1);
    expect(expired(back)).toBe(back);
  });

  it("that was not waited for goes to who asked first, else to the only one who can have it, else to nobody", () => {
    const asked = order(order(on(ANN, BOB, CAT), CAT, { t: "ask" }), BOB, { t: "ask" });
    expect(typing(expired(left(asked, "ann", { comesBack: true })))).toEqual(["cat"]);
    expect(typing(left(asked, "ann", { comesBack: false }))).toEqual(["cat"]);
    expect(typing(left(left(asked, "cat", { comesBack: true }), "ann", { comesBack: false }))).toEqual(["bob"]);
    expect(typing(left(on(ANN, BOB, WATCHER), "ann", { comesBack: false }))).toEqual(["bob"]);
    expect(typing(left(on(ANN, BOB, CAT), "ann", { comesBack: false }))).toEqual([]);
  });

  it("is not had again by who was away when an owner took it", () => {
    const gone = order(left(on(ANN, OWNER), "ann", { comesBack: true }), OWNER, { t: "take" });
    expect(typing(joined(gone, ANN))).toEqual(["owner"]);
  });

  it("goes on with a session that moves to another leg, and not with one that comes without its right", () => {
    const both = on(ANN, BOB);
    expect(joined(both, ANN)).toEqual(both);
    expect(typing(joined(both, { ...ANN, input: false }))).toEqual(["bob"]);
  });

  it("is with one at most, who may have it, whatever happens in whatever order", () => {
    const sessions = fc.constantFrom("a", "b", "c", "d");
    const step: fc.Arbitrary<(before: Shared) => Shared> = fc.oneof(
      fc
        .record({ session: sessions, label: fc.constant("x"), owner: fc.boolean(), input: fc.boolean() })
        .map((who) => (before: Shared) => joined(before, who)),
      fc.tuple(sessions, fc.boolean()).map(
        ([one, comesBack]) =>
          (before: Shared) =>
            left(before, one, { comesBack }),
      ),
      fc.constantFrom(...SHARING).map((sharing) => (before: Shared) => withSharing(before, sharing)),
      fc.constant(expired),
      fc
        .tuple(
          fc.nat(8),
          fc.oneof(
            fc.constantFrom<Order>({ t: "ask" }, { t: "take" }, { t: "drop" }),
            fc.nat(8).map((to): Order => ({ t: "give", to })),
          ),
        )
        .map(
          ([id, what]) =>
            (before: Shared) =>
              ordered(before, id, what).after,
        ),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let now = unshared("one");
        for (const next of steps) {
          now = next(now);
          const { people, control, away, asked } = now;
          const ids = people.map(({ id }) => id);
          expect(new Set(ids).size).toBe(ids.length);
          expect(new Set(asked).size).toBe(asked.length);
          expect(ids).toEqual(expect.arrayContaining([...asked]));
          expect(asked).not.toContain(control);
          if (away !== null) expect([control, ids.includes(away.id)]).toEqual([away.id, false]);
          else if (control !== null) expect(people.find(({ id }) => id === control)?.input).toBe(true);
          if (now.sharing === "all") expect([control, asked.length]).toEqual([null, 0]);
          // Nobody who can type waits for nobody.
          if (control === null) expect(asked).toEqual([]);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
