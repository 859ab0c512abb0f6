/**
 * The control link between the edge and an agent: text frames, each one JSON object, over the agent's one outbound WebSocket.
 *
 *   agent                                     edge
 *     | -- GET /agent/v1/link, signed ---------> |   101
 *     | -- hello: versions, inventory, guests -> |
 *     | <- welcome: version, report_interval,    |
 *     |             lease --------------------- |
 *     | <- call: id, server, method, params ---- |   any number, any time; the same id may come again
 *     | -- result: id, outcome ----------------> |   as often as the call comes
 *     | <- ack: id ----------------------------- |   the outcome is stored: the agent may forget it
 *     | -- report: guests that changed --------> |
 *     | -- progress: call, stage, percent -----> |   while a call lasts; nothing is kept of it
 *     | -- console_closed: session, counts ----> |   again with each hello until it is noted
 *     | <- console_noted: session -------------- |
 *     | <- deleted: guests that should be gone - |   to an agent that can RUNNING_DELETED: what becomes of them is its choice
 *     | -- "ping" -----------------------------> |   answered "pong" by the runtime, without waking the object
 *
 * Rules: fields are added, never changed; a frame of unknown `t` is ignored; a lost frame is healed by the next hello.
 */
import { z } from "zod";
import { guestReport, inventory } from "./guest.ts";
import { CALL_ERRORS, consoleCounts, consoleLeg, MAX_CONSOLE_BYTES, METHODS, type Method } from "./methods.ts";

/** Protocol versions this code speaks. */
export const VERSIONS = { min: 1, max: 1 } as const;
export type VersionRange = { min: number; max: number };

/** A frame above this many characters closes the link. 10,000 guests report in about 1 MB. */
export const MAX_FRAME_CHARS = 2 * 1024 * 1024;
export const MAX_GUESTS = 10_000;

export const PING = "ping";
export const PONG = "pong";

/** Close codes of the control link, from the range that RFC 6455 §7.4.2 leaves to applications. */
export const CLOSE = {
  BAD_FRAME: 4400,
  WRONG_HOST: 4403,
  NO_COMMON_VERSION: 4406,
  SILENT: 4408,
  REPLACED: 4409,
  TOO_BIG: 4413,
  REVOKED: 4410,
} as const;

/** What an agent can do that not every agent of its protocol version can, by the names in its hello. */
export const CAPABILITY = { RUNNING_DELETED: "running_deleted", FENCING: "fencing" } as const;

const version = z.int().min(0).max(1_000_000);
const callId = z.string().min(1).max(128);

/** A code of a newer agent is no reason to lose its message. */
export const callError = z.object({ code: z.enum(CALL_ERRORS).catch("Unexpected"), message: z.string().max(1024) });
export type CallError = z.infer<typeof callError>;
/** The longest text is a console's output; the widest list is of a guest's processors. */
const MAX_VALUE_FIELDS = 64;
const MAX_VALUE_ITEMS = 1024;
const scalar = z.union([z.string().max(MAX_CONSOLE_BYTES), z.number(), z.boolean(), z.null()]);
const fields = <T extends z.ZodType>(field: T) =>
  z.record(z.string().max(64), field).refine((record) => Object.keys(record).length <= MAX_VALUE_FIELDS);
/** What a value may be of any method: as deep as the deepest needs, and no deeper. METHODS gives each one's shape. */
const value = fields(z.union([scalar, fields(scalar), z.array(fields(scalar)).max(MAX_VALUE_ITEMS)]));
export const outcome = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), value }),
  z.object({ ok: z.literal(false), error: callError }),
]);
export type Outcome = z.infer<typeof outcome>;
/** What stands for an outcome that cannot be read: were the link closed for it, the call would come again for ever. */
const UNREADABLE: Outcome = { ok: false, error: { code: "Unexpected", message: "The agent's answer is unreadable." } };

const fromAgent = z.discriminatedUnion("t", [
  z.object({
    t: z.literal("hello"),
    host: z.string().min(1).max(255),
    agent: z.string().max(64),
    versions: z.object({ min: version, max: version }),
    capabilities: z.array(z.string().max(64)).max(64),
    inventory,
    guests: z.array(guestReport).max(MAX_GUESTS),
    /** Guests that the agent is starting now, as its host was restarted: reported when they run, or cannot. */
    resuming: z.array(z.uuid()).max(MAX_GUESTS).optional(),
  }),
  z.object({ t: z.literal("result"), call: callId, outcome: outcome.catch(UNREADABLE) }),
  z.object({ t: z.literal("report"), guests: z.array(guestReport).max(MAX_GUESTS) }),
  z.object({ t: z.literal("inventory"), inventory }),
  /** How far a call has come: what is being done now, and `bytes` of how many where it is bytes that are moved. */
  z.object({
    t: z.literal("progress"),
    call: callId,
    stage: z.string().min(1).max(32),
    percent: z.int().min(0).max(100),
    bytes: z.int().min(0).optional(),
    of: z.int().min(0).optional(),
    /** Of a live migration, bytes (nova/objects/migration.py). */
    memory_total: z.int().min(0).optional(),
    memory_processed: z.int().min(0).optional(),
    memory_remaining: z.int().min(0).optional(),
    disk_total: z.int().min(0).optional(),
    disk_processed: z.int().min(0).optional(),
    disk_remaining: z.int().min(0).optional(),
  }),
  /** A console's connection has ended: `code` of its close, `by` the side that ended it. `at` in ms since the epoch. */
  z.object({
    t: z.literal("console_closed"),
    server: z.uuid(),
    ...consoleLeg.shape,
    ...consoleCounts.shape,
    by: z.enum(["screen", "link"]),
    code: z.int().min(1000).max(4999),
    at: z.int().min(0),
  }),
]);
export type ConsoleClosed = Extract<FromAgent, { t: "console_closed" }>;
export type FromAgent = z.infer<typeof fromAgent>;
export type Progress = Extract<FromAgent, { t: "progress" }>;

/** A guest of a server that was deleted at `at` (ms since the epoch). */
const deletedGuest = z.object({ server: z.uuid(), generation: z.int().min(0), at: z.int().min(0) });
export type DeletedGuest = z.infer<typeof deletedGuest>;

const methodNames = Object.keys(METHODS) as [Method, ...Method[]];
const toAgent = z.discriminatedUnion("t", [
  z.object({
    t: z.literal("welcome"),
    version,
    report_interval: z.number().min(0.1).max(3600),
    /** Seconds without word of the edge after which an agent that can FENCING switches its guests off; absent: never. */
    lease: z.number().min(1).max(31_536_000).optional(),
  }),
  z.object({
    t: z.literal("call"),
    id: callId,
    server: z.uuid(),
    generation: z.int().min(0),
    method: z.enum(methodNames),
    params: z.unknown(),
  }),
  z.object({ t: z.literal("ack"), call: callId }),
  z.object({ t: z.literal("deleted"), guests: z.array(deletedGuest).max(MAX_GUESTS) }),
  z.object({ t: z.literal("console_noted"), ...consoleLeg.shape }),
]);
export type ToAgent = z.infer<typeof toAgent>;
export type CallFrame = Extract<ToAgent, { t: "call" }>;

export type Decoded<F> = { kind: "frame"; frame: F } | { kind: "unknown" } | { kind: "invalid"; reason: string };

const FROM_AGENT_KINDS: ReadonlySet<unknown> = new Set([
  "hello",
  "result",
  "report",
  "inventory",
  "progress",
  "console_closed",
]);
const TO_AGENT_KINDS: ReadonlySet<unknown> = new Set(["welcome", "call", "ack", "deleted", "console_noted"]);

/** Reads one frame from an agent. Never throws; `reason` names the first field that is wrong and holds no payload. */
export function decodeFromAgent(text: string): Decoded<FromAgent> {
  return decode(text, fromAgent, FROM_AGENT_KINDS);
}

/** Reads one frame from the edge, as `decodeFromAgent` does. A call of an unknown method is invalid. */
export function decodeToAgent(text: string): Decoded<ToAgent> {
  return decode(text, toAgent, TO_AGENT_KINDS);
}

export function encode(frame: FromAgent | ToAgent): string {
  return JSON.stringify(frame);
}

/** The highest version both sides speak; null when there is none. */
export function agree(a: VersionRange, b: VersionRange): number | null {
  const highest = Math.min(a.max, b.max);
  return highest >= Math.max(a.min, b.min) ? highest : null;
}

function decode<F>(text: string, schema: z.ZodType<F>, kinds: ReadonlySet<unknown>): Decoded<F> {
  if (text.length > MAX_FRAME_CHARS) return { kind: "invalid", reason: "frame is too big" };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "invalid", reason: "frame is not JSON" };
  }
  if (typeof value !== "object" || value === null || !("t" in value)) {
    return { kind: "invalid", reason: "frame has no field t" };
  }
  if (!kinds.has(value.t)) return { kind: "unknown" };
  const parsed = schema.safeParse(value);
  if (parsed.success) return { kind: "frame", frame: parsed.data };
  return { kind: "invalid", reason: `frame field ${parsed.error.issues[0]?.path.join(".") ?? "?"} is wrong` };
}
