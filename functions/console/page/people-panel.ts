/** Who is here, in the bar and its panel; who has control, and how it goes from one to the other. */
import type { FromPage, ToPage } from "../../protocol/console-presence.ts";
import { name, type Speech } from "./language.ts";
import { notice } from "./notice.ts";
import { awayIn, changeOf, choicesOf, type People, types } from "./people.ts";
import { button, part } from "./view.ts";

export type PeopleEvents = {
  say(frame: FromPage): void;
  /** Whether keys and pointer go to the server from now on. */
  typing(may: boolean): void;
};

export class PeoplePanel {
  readonly #speech: Speech;
  readonly #events: PeopleEvents;
  #people: People | null = null;
  #mayType = true;
  #types = true;
  /** Who asks for control. */
  #asking: number | null = null;
  /** Of all who were ever here, by their ids. */
  readonly #labels = new Map<number, string>();

  constructor(speech: Speech, events: PeopleEvents) {
    this.#speech = speech;
    this.#events = events;
    button("ask").addEventListener("click", () => {
      events.say({ t: "ask" });
      notice(speech.words.asked);
    });
    button("take").addEventListener("click", () => events.say({ t: "take" }));
    button("drop").addEventListener("click", () => events.say({ t: "drop" }));
    button("asked-give").addEventListener("click", () => this.#answer(true));
    button("asked-not").addEventListener("click", () => this.#answer(false));
    speech.always(() => this.#show());
  }

  /** `input`: the session's right. */
  allow(input: boolean): void {
    this.#mayType = input;
    this.#show();
  }

  /** Between two connections nobody is known to be here. */
  clear(): void {
    this.#people = null;
    this.#asking = null;
    this.#show();
  }

  hear(frame: ToPage): void {
    if (frame.t === "asked") this.#asking = frame.by;
    if (frame.t === "people") {
      const before = this.#people;
      this.#people = frame;
      for (const { id, label } of frame.people) this.#labels.set(id, label.trim());
      if (before !== null) this.#tell(before, frame);
      const stays = frame.people.some(({ id }) => id === this.#asking) && this.#asking !== frame.control;
      if (!stays) this.#asking = null;
    }
    this.#show();
  }

  #answer(give: boolean): void {
    if (give && this.#asking !== null) this.#events.say({ t: "give", to: this.#asking });
    this.#asking = null;
    this.#show();
  }

  /** Labels are for people: two links may have the same, and one may have none. */
  #label(id: number): string {
    return this.#labels.get(id) || this.#speech.words.somebody;
  }

  #tell(before: People, now: People): void {
    const { words } = this.#speech;
    const { came, left, control } = changeOf(before, now);
    const away = awayIn(now);
    for (const id of left) notice(id === away ? words.away(this.#label(id)) : words.left(this.#label(id)));
    for (const id of came) notice(words.came(this.#label(id)));
    if (control === undefined || now.sharing === "all") return;
    if (control === null) notice(words.nowNobodys);
    else notice(control === now.you ? words.nowYours : words.nowTheirs(this.#label(control)));
  }

  #show(): void {
    const { words } = this.#speech;
    const people = this.#people;
    const choices = choicesOf(people);
    // Between two connections it is as it was.
    this.#types = people === null ? this.#types && this.#mayType : types(people, this.#mayType);
    const may = this.#types;
    this.#events.typing(may);
    const badge = part("view-only", HTMLElement);
    badge.hidden = may;
    badge.title = words.ui.viewOnlyHint;
    const count = people?.people.length ?? 0;
    button("people").hidden = count === 0;
    name(button("people"), words.people(count));
    part("people-count", HTMLElement).textContent = String(count);
    part("people-sharing", HTMLElement).textContent = people === null ? "" : words.sharing[people.sharing];
    const away = people === null ? null : awayIn(people);
    const line = part("people-away", HTMLElement);
    line.hidden = away === null;
    line.textContent = away === null ? "" : words.away(this.#label(away));
    keepingFocus(part("people-panel", HTMLElement), () => {
      part("people-list", HTMLElement).replaceChildren(...this.#rows());
      button("ask").hidden = !choices.ask;
      button("take").hidden = !choices.take;
      button("drop").hidden = !choices.drop;
    });
    const asked = part("asked", HTMLElement);
    asked.hidden = this.#asking === null || people === null;
    part("asked-text", HTMLElement).textContent = asked.hidden ? "" : words.asks(this.#label(this.#asking ?? 0));
  }

  #rows(): HTMLElement[] {
    const { words } = this.#speech;
    const people = this.#people;
    const { give } = choicesOf(people);
    return (people?.people ?? []).map((person) => {
      const row = document.createElement("li");
      const label = this.#label(person.id);
      const marks = [
        person.id === people?.you ? words.you : "",
        person.owner ? words.owner : "",
        person.input ? "" : words.viewer,
        person.id === this.#asking ? words.asking : "",
      ].filter((mark) => mark !== "");
      row.append(span("who", label), span("marks", marks.join(" · ")));
      if (person.id === people?.control) row.append(span("badge", words.inControl));
      if (give.includes(person)) {
        const hand = document.createElement("button");
        hand.type = "button";
        hand.dataset.to = String(person.id);
        hand.textContent = words.ui.giveIt;
        name(hand, words.give(label));
        hand.addEventListener("click", () => this.#events.say({ t: "give", to: person.id }));
        row.append(hand);
      }
      return row;
    });
  }
}

/** Runs `change`, and gives the focus that a button loses by it to what stands for that button, or to another. */
function keepingFocus(panel: HTMLElement, change: () => void): void {
  const before = document.activeElement;
  const inside = before instanceof HTMLElement && panel.contains(before);
  change();
  if (!inside || (panel.contains(before) && !before.hidden)) return;
  const same = panel.querySelector<HTMLElement>(`[data-to="${before.dataset.to ?? ""}"]`);
  (same ?? panel.querySelector<HTMLElement>("button:not([hidden])") ?? button("people")).focus();
}

function span(kind: string, text: string): HTMLElement {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}
