/** Who is on the screen, and who may do what about control. */
import type { Person, ToPage } from "../../protocol/console-presence.ts";

export type People = Extract<ToPage, { t: "people" }>;

/** What this person may do. `give`: to whom. */
export type Choices = { ask: boolean; take: boolean; drop: boolean; give: Person[] };

/** Whether what is typed here reaches the server. `mayType`: the session's right. */
export function types({ sharing, control, you }: People, mayType: boolean): boolean {
  return mayType && (sharing === "all" || control === you);
}

/** Who has control and has lost the connection: it is kept for a while. */
export function awayIn({ control, people }: People): number | null {
  return people.some(({ id }) => id === control) ? null : control;
}

export function choicesOf(people: People | null): Choices {
  const me = people?.people.find(({ id }) => id === people.you);
  if (people === null || me === undefined || people.sharing === "all") {
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
