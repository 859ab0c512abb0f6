/** What a flow's steps may touch: the server's record, and the objects around it by RPC. */

import type { CallReply, CallRequest } from "../compute/call.ts";
import type { Host } from "../compute/host.ts";
import type { Config } from "../config.ts";
import type { Images } from "../image/images.ts";
import type { Project } from "../project/project.ts";
import type { Outcome } from "../protocol/frames.ts";
import type { CallErrorCode, ImageRef, Method, Params, SnapshotFile } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import type { Decision } from "../scheduler/decision.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Given, Secrets } from "./given.ts";
import type { ServerRecord } from "./record.ts";
import { type Failure, type Flow, Wait } from "./saga.ts";
import type { TaskState, VmState } from "./state.ts";

/** What a flow remembers across a crash. */
export type Memo = {
  /** Hosts that may hold a claim or a guest: the best first, then the alternates. */
  hosts: string[];
  /** Their availability zones, while a build chooses among them. */
  zones?: string[];
  /** The one of them in use or on trial. */
  at: number;
  /** How many of them were given the guest and did not build it. */
  failures?: number;
  reboot?: "SOFT" | "HARD";
  /** Where the server was when the flow began, and may have to be again. */
  was?: VmState;
  /** What a rebuild's other image is in the place of. */
  replaced?: Required<Pick<ServerRecord, "image" | "image_properties">>;
  /** What a rescue boots. */
  image?: ImageRef;
  /** A snapshot under way, or one that this flow has cut off and takes back. */
  snapshot?: SnapshotMemo;
};
export type SnapshotMemo = {
  /** The queued image that it is to be; null when there is to be none (a backup of which none are kept). */
  image: string | null;
  /** How many backups of its type are kept, this one among them. */
  backup?: { backup_type: string; rotation: number };
  /** What the host has of it. */
  file?: SnapshotFile;
  /** Set when the image is active: it is no longer the flow's to take back. */
  stored?: true;
};
export type ServerFlow = Flow<Context, Memo>;

export interface Context {
  readonly config: Config;
  /** Names this run of the flow: calls derive their ids from it, so a repeated step repeats its call. */
  readonly saga: string;
  readonly startedAt: number;
  record(): ServerRecord;
  given(): Given;
  /** Null when the request brought none, or the saga that they were for has ended. */
  secrets(): Secrets | null;
  /** Changes the record; throws when another saga has taken the server, so that a late step writes nothing. */
  patch(change: Partial<ServerRecord>): void;
  /** Stores a memo in the middle of a step. */
  note(memo: Memo): void;
  /** Keeps how a host was chosen. */
  decided(decision: Decision): void;
  /** Ends the action's event as failed on `host`, and begins the same anew where the server is now. */
  triedAgain(host: string | null, details: string): void;
  /** Where another server is; null when it is nowhere. */
  hostOf(server: string): Promise<string | null>;
  host(name: string): DurableObjectStub<Host>;
  scheduler(): DurableObjectStub<Scheduler>;
  project(): DurableObjectStub<Project>;
  images(): DurableObjectStub<Images>;
}

/** A call that failed; `of` and `said` are what the host answered, if it was the host that refused. */
export type CallFailure = Failure & { of?: CallErrorCode; said?: string };

/** Shows what is being done now. */
export function enter(context: Context, task_state: TaskState): void {
  if (context.record().task_state !== task_state) context.patch({ task_state });
}

/**
 * Has the server's host do `method` and returns the value's power state. Waits (by throwing `Wait`) while the agent
 * works or is away; after `patienceMs` without a connected agent the call is withdrawn and fails.
 */
export async function callHost<M extends Method>(
  context: Context,
  method: M,
  params: Params<M>,
  patienceMs: number,
): Promise<Result<Outcome & { ok: true }, CallFailure>> {
  const { uuid, generation, host } = context.record();
  if (host === null) return err({ code: 500, message: "The server has no host." });
  const request: CallRequest = { id: `${context.saga}:${method}`, server: uuid, generation, method, params };
  const stub = context.host(host);
  const reply: CallReply = await stub.call(request);
  if (reply.kind === "waiting") {
    if (reply.connected || Date.now() - context.startedAt < patienceMs) throw new Wait(`${method} on ${host}`);
    await stub.withdraw(request.id);
    return err({ code: 500, message: "The server's host is not connected.", details: `It is ${host}.` });
  }
  if (reply.outcome.ok) return ok(reply.outcome);
  const { code, message } = reply.outcome.error;
  return err({ code: 500, message: `${code}: ${message}`, of: code, said: message });
}
