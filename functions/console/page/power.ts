/** Start, stop, reboot, reset: orders to the server, by the session's right. */
import type { PowerOrder } from "../../protocol/console-session.ts";
import { confirmed } from "./confirm.ts";
import type { Speech } from "./language.ts";
import { notice } from "./notice.ts";
import type { Panels } from "./panels.ts";
import { reasonOf } from "./status.ts";
import type { Trouble } from "./trouble.ts";
import { button, part } from "./view.ts";
import type { Words } from "./words-en.ts";

/** What the buttons of the panel are for, by their `data-order`. */
const ORDERS: readonly PowerOrder[] = ["start", "stop", "reboot", "reset"];

export type PowerEvents = {
  serverName(): string;
  /** Null when the order was taken. */
  order(what: PowerOrder): Promise<Trouble | null>;
};

export class Power {
  readonly #speech: Speech;
  readonly #events: PowerEvents;

  constructor(speech: Speech, panels: Panels, events: PowerEvents) {
    this.#speech = speech;
    this.#events = events;
    for (const order of ORDERS) {
      part("power-panel", HTMLElement)
        .querySelector<HTMLElement>(`[data-order="${order}"]`)
        ?.addEventListener("click", (event) => {
          panels.chosen(event);
          void this.give(order);
        });
    }
  }

  /** `power`: the session's right. */
  allow(power: boolean): void {
    button("power").hidden = !power;
  }

  /** Asks first, unless nothing can be lost, and tells what came of it. False when the order was not taken. */
  async give(order: PowerOrder): Promise<boolean> {
    const { words } = this.#speech;
    const { ask, done } = words.power[order];
    const question = { heading: words.powerAsk[order](this.#events.serverName()), text: ask, yes: words.ui[order] };
    if (ask !== "" && !(await confirmed(question))) return false;
    const trouble = await this.#events.order(order);
    notice(trouble === null ? done : whyNot(trouble, words));
    return trouble === null;
  }
}

/** What stands against an order just now has no word of its own: the edge's says what state the server is in. */
function whyNot(trouble: Trouble, words: Words): string {
  const unnamed = trouble.kind === "refused" && trouble.refusal.why === "failed";
  return unnamed ? trouble.refusal.message : reasonOf(trouble, words);
}
