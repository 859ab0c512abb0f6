import { describe, expect, it } from "vitest";
import { awayIn, changeOf, choicesOf, type People, types } from "../../functions/console/page/people.ts";
import { person } from "../page-edge.ts";

const [ADA, GRACE, LINUS] = [1, 2, 3];
const all = [person(ADA, "Ada", { owner: true }), person(GRACE, "Grace"), person(LINUS, "Linus", { input: false })];
const seenBy = (you: number, control: number | null, more: Partial<People> = {}): People => ({
  t: "people",
  you,
  sharing: "one",
  control,
  people: all,
  ...more,
});
const idsOf = (people: People) => choicesOf(people).give.map(({ id }) => id);

describe("control of a screen", () => {
  it("types for who has it, and for all where all share it", () => {
    expect(types(seenBy(GRACE, GRACE), true)).toBe(true);
    expect(types(seenBy(GRACE, ADA), true)).toBe(false);
    expect(types(seenBy(GRACE, null, { sharing: "private" }), true)).toBe(false);
    expect(types(seenBy(GRACE, null, { sharing: "all" }), true)).toBe(true);
    expect(types(seenBy(GRACE, GRACE), false)).toBe(false);
  });

  it.each<[string, People, { ask: boolean; take: boolean; drop: boolean }]>([
    ["who has it", seenBy(GRACE, GRACE), { ask: false, take: false, drop: true }],
    ["an owner without it", seenBy(ADA, GRACE), { ask: false, take: true, drop: false }],
    ["somebody else", seenBy(GRACE, ADA), { ask: true, take: false, drop: false }],
    ["somebody where nobody has it", seenBy(GRACE, null), { ask: false, take: true, drop: false }],
    ["who may only watch", seenBy(LINUS, null), { ask: false, take: false, drop: false }],
    ["everybody where all type", seenBy(ADA, null, { sharing: "all" }), { ask: false, take: false, drop: false }],
  ])("offers what the agent lets do: %s", (_who, people, choices) => {
    expect(choicesOf(people)).toMatchObject(choices);
  });

  it("is given by who has it and by owners, to who may type", () => {
    expect(idsOf(seenBy(ADA, ADA))).toEqual([GRACE]);
    expect(idsOf(seenBy(GRACE, GRACE))).toEqual([ADA]);
    expect(idsOf(seenBy(ADA, GRACE))).toEqual([]);
    expect(idsOf(seenBy(GRACE, ADA))).toEqual([]);
  });

  it("is kept for who is away", () => {
    expect(awayIn(seenBy(ADA, 9))).toBe(9);
    expect(awayIn(seenBy(ADA, GRACE))).toBeNull();
    expect(awayIn(seenBy(ADA, null))).toBeNull();
  });
});

it("tells who came, who left, and whether control moved", () => {
  const before = seenBy(ADA, ADA, { people: all.slice(0, 2) });
  expect(changeOf(before, seenBy(ADA, null, { people: [all[0]!, all[2]!] }))).toEqual({
    came: [LINUS],
    left: [GRACE],
    control: null,
  });
  expect(changeOf(before, before)).toEqual({ came: [], left: [], control: undefined });
});
