/** Who is on the screen, and who may do what about control. */
import type { Person, ToPage } from "../../protocol/console-presence.ts";

export type People = Extract<ToPage, { t: "people" }>;

/** What this person may do. `give`: to whom. */
export type Choices = { ask: boolean; take: boolean; drop: boolean; give: Person[] };

/** Whether what is typed here reaches the server. `mayType`: the session's right. */
export function types(people: People | null, mayType: boolean): boolean {
  if (!mayType || people === null || people.sharing === "all") return mayType;
  return people.control === people.you || (people.sharing === "private" && people.control === null);
}

export function choicesOf(people: People | null): Choices {
  const me = people?.people.find(({ id }) => id === people.you);
  if (people === null || me === undefined || people.sharing !== "one") {
    return { ask: false, take: false, drop: false, give: [] };
  }
  const mine = people.control === people.you;
  const take = !mine && me.input && (me.owner || people.control === null);
  const gives = mine || me.owner;
  return {
    take,
    ask: !mine && me.input && !take,
    drop: mine,
    give: people.people.filter(({ id, input }) => gives && input && id !== people.you && id !== people.control),
  };
}

/** Labels are for people: two links may have the same, and one may have none. */
export function labelOf(people: People | null, id: number, nobody: string): string {
  const person = people?.people.find((someone) => someone.id === id);
  return person?.label.trim() || nobody;
}

export type Change = { came: number[]; left: number[]; control: number | null | undefined };

/** What to tell those who were there before; `control` is undefined when it stays where it was. */
export function changeOf(before: People, now: People): Change {
  const ids = (list: People) => new Set(list.people.map(({ id }) => id));
  const [old, fresh] = [ids(before), ids(now)];
  return {
    came: [...fresh].filter((id) => !old.has(id)),
    left: [...old].filter((id) => !fresh.has(id)),
    control: before.control === now.control ? undefined : now.control,
  };
}
