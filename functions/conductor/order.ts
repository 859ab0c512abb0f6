/** What is asked of a server, and the ways in which it is refused. */
import type { QuotaExceeded } from "../project/quota.ts";
import type { Memo } from "./context.ts";
import type { Given, Secrets } from "./given.ts";
import type { CreateSpec, ServerRecord } from "./record.ts";
import type { Conflict } from "./state.ts";

/** A server to be made, and what it is given for its guest; nothing unless told. */
export type NewServer = CreateSpec & { given?: Given; secrets?: Secrets };

/** What an action brings along. */
export type Order = {
  memo?: Partial<Memo>;
  /** What of the record is other from the moment it begins. */
  change?: Partial<ServerRecord>;
  /** What else is given for the guest from now on. */
  given?: Partial<Given>;
  secrets?: Secrets;
  /** Answer when it has ended, if it ends at once: for what fails in ways that its caller must hear. */
  wait?: true;
};

export type NotFound = { kind: "not_found" };
export type Locked = { kind: "locked" };
export type NotReady = { kind: "not_ready"; message: string };
/** What was waited for, and failed; `code` is an HTTP status. */
export type Failed = { kind: "failed"; code: number; message: string };
export type ActionError = NotFound | Locked | Conflict | NotReady | QuotaExceeded | Failed;

/** nova: InstanceNotReady. */
export const notReady = (uuid: string, why?: string): NotReady => ({
  kind: "not_ready",
  message: `Instance ${uuid} is not ready${why === undefined ? "" : `: ${why}`}`,
});
