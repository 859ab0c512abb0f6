/** Browsers whose agent has not come yet. They live as long as the object's memory, as their sockets do. */
import { CONSOLE_CLOSE, type ConsoleCloseCode } from "../protocol/console.ts";
import { endHalf } from "./splice.ts";

/** How long a browser's half waits for the agent's. */
export const JOIN_TIMEOUT_MS = 15_000;

type Half = { far: WebSocket; deadline: ReturnType<typeof setTimeout> };

export class Halves {
  readonly #halves = new Map<string, Half>();

  /** Keeps `far`, the end that the agent is to have, until it is taken or it is too late. */
  wait(session: string, leg: number, far: WebSocket): void {
    const deadline = setTimeout(() => this.end(session, leg, CONSOLE_CLOSE.HOST_TIMEOUT), JOIN_TIMEOUT_MS);
    this.#halves.set(key(session, leg), { far, deadline });
  }

  take(session: string, leg: number): WebSocket | null {
    const half = this.#halves.get(key(session, leg));
    if (half === undefined) return null;
    clearTimeout(half.deadline);
    this.#halves.delete(key(session, leg));
    return half.far;
  }

  /** Ends one that is still waiting, with a reason that the viewer shows. */
  end(session: string, leg: number, code: ConsoleCloseCode): void {
    const far = this.take(session, leg);
    if (far) endHalf(far, code);
  }
}

const key = (session: string, leg: number) => `${session}:${leg}`;
