/**
 * Who is on a screen, and which of them types there. Pure.
 *
 *   `all`      everybody whose rights have input types; nobody has control
 *   `one`      who comes first has control; it is given, taken by an owner, dropped, or taken when nobody has it
 *   `private`  as `one`: that no second session comes is seen to before it is here (consoles.ts)
 *
 * Who had control and went away without being sent has it again on coming back; `expired` says that it takes too long.
 */
import type { Sharing } from "../../functions/protocol/console.ts";
import type { FromPage, Person, ToPage } from "../../functions/protocol/console-presence.ts";

export type Member = Person & { readonly session: string };
export type Newcomer = Omit<Member, "id">;
export type Order = Exclude<FromPage, { t: "ping" }>;
export type Shared = {
  readonly sharing: Sharing;
  /** In the order in which they came. */
  readonly people: readonly Member[];
  /** Id of who types; it may be `away`. Null with `all`. */
  readonly control: number | null;
  /** Who has control and is not here now. */
  readonly away: Member | null;
  /** Ids of those who wait for control, the first first. */
  readonly asked: readonly number[];
  readonly nextId: number;
};

/** A screen that nobody is on. */
export function unshared(sharing: Sharing): Shared {
  return { sharing, people: [], control: null, away: null, asked: [], nextId: 1 };
}

/** Whether what this session types goes to the screen, if its rights have input. */
export function types({ sharing, control, people }: Shared, session: string): boolean {
  return sharing === "all" || people.some((one) => one.id === control && one.session === session);
}

/** What `id` is told of the screen. */
export function seenBy({ sharing, control, people }: Shared, id: number): ToPage {
  const persons = people.map(({ session: _, ...person }) => person);
  return { t: "people", you: id, sharing, control, people: persons };
}

/** With who has come; a session that is here already, on an older leg, is who it was. */
export function joined(shared: Shared, newcomer: Newcomer): Shared {
  const { people, away, nextId } = shared;
  const before = people.find(({ session }) => session === newcomer.session);
  const back = away?.session === newcomer.session;
  const id = before?.id ?? (back ? away.id : nextId);
  const member = { ...newcomer, id };
  const all = before ? people.map((one) => (one === before ? member : one)) : [...people, member];
  const here = { ...shared, people: all, away: back ? null : away, nextId: Math.max(nextId, id + 1) };
  if (!member.input) return here.control === id ? passed(here) : here;
  const alone = here.control === null && able(here).length === 1;
  return alone && here.sharing !== "all" ? given(here, id) : here;
}

/** Without this session, for which control is kept with `comesBack`. */
export function left(shared: Shared, session: string, { comesBack }: { comesBack: boolean }): Shared {
  const member = shared.people.find((one) => one.session === session);
  if (member === undefined) return shared;
  const people = shared.people.filter((one) => one !== member);
  const rest = { ...shared, people, asked: shared.asked.filter((id) => id !== member.id) };
  if (rest.control !== member.id) return rest;
  return comesBack ? { ...rest, away: member } : passed(rest);
}

/** After too long a wait for who is away. */
export function expired(shared: Shared): Shared {
  return shared.away === null ? shared : passed({ ...shared, away: null });
}

/** With another sharing. Where one is to have control, and none has, it is who came first. */
export function withSharing(before: Shared, sharing: Sharing): Shared {
  if (sharing === before.sharing) return before;
  const after = { ...before, sharing };
  if (sharing === "all") return { ...after, control: null, away: null, asked: [] };
  return before.sharing === "all" ? given(after, able(after)[0] ?? null) : after;
}

/** After what a member wants; `tell` are those who should hear that it asked. What it may not want changes nothing. */
export function ordered(before: Shared, id: number, order: Order): { after: Shared; tell: readonly number[] } {
  const { people, control, asked } = before;
  const who = people.find((one) => one.id === id);
  const just = (after: Shared) => ({ after, tell: [] });
  if (who === undefined || before.sharing === "all") return just(before);
  switch (order.t) {
    case "take":
      return just(who.input && (who.owner || control === null) ? given(before, id) : before);
    case "drop":
      return just(control === id ? given(before, asked[0] ?? null) : before);
    case "give":
      return just((control === id || who.owner) && able(before).includes(order.to) ? given(before, order.to) : before);
    case "ask": {
      if (!who.input || control === id) return just(before);
      if (control === null) return just(given(before, id));
      const after = asked.includes(id) ? before : { ...before, asked: [...asked, id] };
      return { after, tell: people.filter((one) => one.id !== id && (one.owner || one.id === control)).map(idOf) };
    }
  }
}

const idOf = ({ id }: Member) => id;
const able = ({ people }: Shared) => people.filter(({ input }) => input).map(idOf);

function given(before: Shared, to: number | null): Shared {
  return { ...before, control: to, away: null, asked: before.asked.filter((id) => id !== to) };
}

/** Control whose holder is gone goes to who asked first; else to the only one who can have it, if there is just one. */
function passed(before: Shared): Shared {
  const [only, other] = able(before);
  return given(before, before.asked[0] ?? (other === undefined ? (only ?? null) : null));
}
