/** A call from a server's saga to its host's agent, and what can be said of it. */
import type { Outcome } from "../protocol/frames.ts";
import type { Method } from "../protocol/methods.ts";

export type CallRequest = {
  /** The same for every repetition of one step. */
  id: string;
  server: string;
  generation: number;
  method: Method;
  params: unknown;
};

/** "waiting": no outcome yet; the host keeps the call and tells the server when it is settled. */
export type CallReply = { kind: "settled"; outcome: Outcome } | { kind: "waiting"; connected: boolean };
