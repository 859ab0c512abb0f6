/** What a flow's steps may touch: the server's record, and the objects around it by RPC. */

import type { CallReply, CallRequest } from "../compute/call.ts";
import type { Host } from "../compute/host.ts";
import type { Config } from "../config.ts";
import type { Images } from "../image/images.ts";
import type { MoveEnds, MovePeers } from "../move/peers.ts";
import type { Project } from "../project/project.ts";
import type { Outcome } from "../protocol/frames.ts";
import type { CallErrorCode, ImageRef, Method, Params, SnapshotFile } from "../protocol/methods.ts";
import type { LiveMigrateData } from "../protocol/move.ts";
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
  move?: MoveMemo;
  /** The migration that this flow has cut off. */
  cut_off?: string;
};
/** A move to another host. */
export type MoveMemo = {
  /** The one host that may be tried, and whether filters are asked about it. */
  target?: { host: string; forced: boolean };
  /** The server's incarnation at the destination. */
  generation?: number;
  /** Whether disks are to be copied, too, in a live migration; null: unless the hosts share their storage. */
  block_migration?: boolean | null;
  /** Whether they are. */
  copied?: boolean;
  /** Why the guest is lost, with its memory between two hosts. */
  lost?: Failure;
  /** What the source said of the guest. */
  data?: LiveMigrateData;
  /** The migration's status if the flow fails now; "error" unless told. */
  ends?: "failed" | "cancelled";
  /** Whether an evacuated guest is to be off. */
  off?: boolean;
  /** Whether it was said that its disks are on storage that the hosts share (before 2.14), and whether they are. */
  on_shared_storage?: boolean;
  on_disk?: boolean;
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
  /** What the two ends of a move are told of each other, and the way between them. */
  peers(move: MoveEnds): Promise<Result<MovePeers, Failure>>;
  /** Ends the way between the two: this saga's move is over. */
  endPipe(): Promise<void>;
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

/** The protocol's limit (frames.ts: callId). */
const MAX_CALL_ID = 128;

export type Called = Result<Outcome & { ok: true }, CallFailure>;

/** How long an agent that is not connected is waited for: so many ms since the flow began, or until its host is down. */
export type Patience = number | "while_up";

/**
 * Has the server's host do `method` and returns the value's power state. Waits (by throwing `Wait`) while the agent
 * works or is away; after `patience` without a connected agent the call is withdrawn and fails.
 */
export async function callHost<M extends Method>(
  context: Context,
  method: M,
  params: Params<M>,
  patience: Patience,
): Promise<Called> {
  const { generation, host } = context.record();
  if (host === null) return err({ code: 500, message: "The server has no host." });
  const called = await callOn(context, { host, generation }, method, params, patience);
  if (called === "waiting") throw new Wait(`${method} on ${host}`);
  return called;
}

/** A host and the incarnation that the call is for; `to`: the other end, where one flow may call for several. */
export type CallAt = { host: string; generation: number; to?: string };

/** As `callHost`, on any host, and with a word for waiting: for two calls at once. */
export async function callOn<M extends Method>(
  context: Context,
  { host, generation, to }: CallAt,
  method: M,
  params: Params<M>,
  patience: Patience,
): Promise<Called | "waiting"> {
  const { uuid } = context.record();
  const id = [context.saga, method, ...(to === undefined ? [] : [to])].join(":").slice(0, MAX_CALL_ID);
  const request: CallRequest = { id, server: uuid, generation, method, params };
  const stub = context.host(host);
  const reply: CallReply = await stub.call(request);
  if (reply.kind === "waiting") {
    const isPatient = patience === "while_up" ? (await stub.state())?.up : Date.now() - context.startedAt < patience;
    if (reply.connected || isPatient) return "waiting";
    await stub.withdraw(request.id);
    return err({ code: 500, message: "The server's host is not connected.", details: `It is ${host}.` });
  }
  if (reply.outcome.ok) return ok(reply.outcome);
  const { code, message } = reply.outcome.error;
  return err({ code: 500, message: `${code}: ${message}`, of: code, said: message });
}
