/**
 * Answers calls. A durable call goes through the journal and waits its turn; the others run at once and leave no trace.
 *
 *   call --> running already? --> the same promise
 *        --> done lately, or in the journal? --> its outcome again
 *        --> stale?           --> StaleGeneration
 *        --> journal.begin --> [this server's turn] --> [a build slot] --> driver --> journal.finish --> outcome
 */
import type { CallFrame, Outcome } from "../functions/protocol/frames.ts";
import { type CallErrorCode, METHODS, type Method } from "../functions/protocol/methods.ts";
import { DriverError } from "./drivers/driver.ts";
import { describe, diskIsFull } from "./failure.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { bind, type Host, type Work } from "./methods.ts";
import { type Progress, reportOf } from "./progress.ts";
import { Slots, Turns } from "./turns.ts";

/** The protocol's limit on an error's message (frames.ts: callError). */
const MAX_MESSAGE_CHARS = 1024;

/** Calls whose outcomes are remembered beyond the edge's ack, against a frame that was doubled on its way and comes late. */
const MAX_DONE = 1000;

type Signalled = "build" | "wait";
/**
 * What a call's signal does, where it does something. A build, a snapshot or a move is given up: the call fails. A wait for a
 * guest to shut down ends: the call goes on and stops it hard.
 */
const SIGNALLED: Partial<Record<Method, Signalled>> = {
  spawn: "build",
  rebuild: "build",
  rescue: "build",
  snapshot: "build",
  upload_snapshot: "build",
  send_disks: "build",
  receive_disks: "build",
  pre_live_migration: "build",
  live_migration: "build",
  power_off: "wait",
  migrate_disk_and_power_off: "wait",
  reboot: "wait",
};
/** Methods that may take so long that the edge is told how far they are. */
const TOLD: ReadonlySet<Method> = new Set([
  "spawn",
  "rebuild",
  "rescue",
  "upload_snapshot",
  "send_disks",
  "receive_disks",
  "live_migration",
]);
/** Methods after which the guest's screen, if it has one, is not the one it had. */
const ENDS_SCREEN: ReadonlySet<Method> = new Set([
  "destroy",
  "power_off",
  "migrate_disk_and_power_off",
  "finish_revert_migration",
  "suspend",
  "rescue",
  "unrescue",
  "rebuild",
]);

export type CallsOptions = Host & {
  journal: Journal;
  log: Log;
  /** Called when a server's screen has ended, even if it has a new one since: its console sessions show the old one. */
  onScreenGone?(server: string): void;
  /** nova: max_concurrent_builds. */
  maxBuilds: number;
  progress: Pick<Progress, "during">;
};

type Signal = { kind: Signalled | undefined; abort: AbortController };

export class Calls {
  readonly #options: CallsOptions;
  readonly #turns = new Turns();
  readonly #slots: Slots;
  readonly #running = new Map<string, Promise<Outcome>>();
  readonly #done = new Map<string, Outcome>();
  /** What the journal lacks since it could not be written. */
  readonly #unrecorded = new Map<string, Outcome>();
  readonly #acked = new Set<string>();
  readonly #signals = new Map<string, Set<Signal>>();
  readonly #watches = new Set<Set<string>>();
  #stopped = false;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#slots = new Slots(options.maxBuilds);
  }

  /** Never rejects. The same call may be given any number of times, at any time. */
  async handle(call: CallFrame): Promise<Outcome> {
    try {
      return await (METHODS[call.method].durable ? this.#durable(call) : this.#ephemeral(call));
    } catch (error) {
      // Only the journal can fail here, and before the driver was touched.
      return this.#failure(call, error);
    }
  }

  /** The edge stored the outcome of this call. */
  ack(id: string): void {
    const { journal } = this.#options;
    this.#acked.add(id);
    try {
      for (const [one, outcome] of this.#unrecorded) {
        journal.finish(one, outcome);
        this.#unrecorded.delete(one);
      }
      for (const one of this.#acked) {
        journal.ack(one);
        this.#acked.delete(one);
      }
    } catch (error) {
      // Not forgotten now, it is with the next ack.
      this.#options.log("journal.failed", { call: id, message: describe(error) });
    }
  }

  /**
   * Notes the servers that calls act on from now until `end`: what a driver said of those in between is out of date.
   */
  watch(): { end(): ReadonlySet<string> } {
    const touched = new Set(this.#turns.keys());
    this.#watches.add(touched);
    return {
      end: () => {
        this.#watches.delete(touched);
        return touched;
      },
    };
  }

  /** Runs work of the agent's own on a guest, in its turn; what a driver said of it meanwhile is out of date. */
  alone<T>(server: string, work: () => Promise<T>): Promise<T> {
    for (const touched of this.#watches) touched.add(server);
    return this.#turns.run(server, work);
  }

  /** Resolves when no durable call runs or waits. */
  idle(): Promise<void> {
    return this.#turns.idle();
  }

  /**
   * From here on no call starts and no outcome is stored: what still runs counts as cut off by a crash, and runs again
   * when the edge sends it to the next agent. A failure that comes from shutting down is thus nobody's failure.
   */
  stop(): void {
    this.#stopped = true;
  }

  async #ephemeral(call: CallFrame): Promise<Outcome> {
    const guest = this.#options.journal.guest(call.server);
    if (guest !== null && call.generation < guest.generation) return stale(call);
    const work = bind(call, this.#options);
    if ("wrong" in work) return invalid(call, work.wrong);
    return this.#perform(call, work, new AbortController().signal);
  }

  #durable(call: CallFrame): Promise<Outcome> | Outcome {
    const running = this.#running.get(call.id);
    if (running !== undefined) return running;
    const { journal } = this.#options;
    const before = this.#done.get(call.id) ?? journal.outcome(call.id);
    if (before !== null) return before;
    const work = bind(call, this.#options);
    if ("wrong" in work) return invalid(call, work.wrong);
    if (this.#begin(call) === "stale") {
      const refused = stale(call);
      journal.finish(call.id, refused); // begun before a crash, overtaken since
      return refused;
    }
    const outcome = this.#inTurn(call, work).finally(() => this.#running.delete(call.id));
    this.#running.set(call.id, outcome);
    return outcome;
  }

  #begin(call: CallFrame): "started" | "stale" {
    try {
      return this.#options.journal.begin(call);
    } catch (error) {
      // A destroy makes room. What it overtook the edge has given up, and does not send again.
      if (call.method !== "destroy") throw error;
      this.#options.log("journal.failed", { call: call.id, message: describe(error) });
      return "started";
    }
  }

  #inTurn(call: CallFrame, work: Work): Promise<Outcome> {
    const { server, method } = call;
    this.#preempt(call);
    for (const touched of this.#watches) touched.add(server);
    const signal = { kind: SIGNALLED[method], abort: new AbortController() };
    const signals = this.#signals.get(server) ?? new Set();
    this.#signals.set(server, signals.add(signal));
    return this.#turns.run(server, async () => {
      const outcome = await this.#perform(call, work, signal.abort.signal);
      signals.delete(signal);
      if (signals.size === 0) this.#signals.delete(server);
      if (!this.#stopped) this.#record(call, outcome);
      return outcome;
    });
  }

  async #perform(call: CallFrame, work: Work, signal: AbortSignal): Promise<Outcome> {
    const startedMs = performance.now();
    const attempt = () => this.#attempt(call, work, signal);
    const outcome = await (TOLD.has(call.method) ? this.#options.progress.during(call.id, attempt) : attempt());
    const { id, server, generation, method } = call;
    const ms = Math.round(performance.now() - startedMs);
    const result = outcome.ok ? { ok: true } : { ok: false, error: outcome.error.code, message: outcome.error.message };
    this.#options.log("call.done", { call: id, server, generation, method, ms, ...result });
    if (outcome.ok && ENDS_SCREEN.has(method)) this.#options.onScreenGone?.(server);
    return outcome;
  }

  async #attempt(call: CallFrame, work: Work, signal: AbortSignal): Promise<Outcome> {
    let release: (() => void) | undefined;
    const builds = SIGNALLED[call.method] === "build";
    try {
      if (this.#stopped) return failed("Unexpected", "the agent is stopping");
      if (call.method === "spawn") {
        reportOf()("waiting");
        release = await this.#slots.take(signal);
      }
      if (builds) signal.throwIfAborted();
      return { ok: true, value: await work(signal) };
    } catch (error) {
      // Whatever an aborted driver rejects with, the reason is the abort.
      return this.#failure(call, builds && signal.aborted ? signal.reason : error);
    } finally {
      release?.();
    }
  }

  #record(call: CallFrame, outcome: Outcome): void {
    // The edge asks for a destroy under one name until it succeeds.
    if (call.method !== "destroy") this.#done.set(call.id, outcome);
    const [oldest] = this.#done.size > MAX_DONE ? this.#done.keys() : [];
    if (oldest !== undefined) this.#done.delete(oldest);
    try {
      this.#options.journal.finish(call.id, outcome);
    } catch (error) {
      // Answered all the same: were the answer lost too, the edge would send the call again and the driver do nothing.
      this.#unrecorded.set(call.id, outcome);
      this.#options.log("journal.failed", { call: call.id, message: describe(error) });
    }
  }

  #failure(call: CallFrame, error: unknown): Outcome {
    if (error instanceof DriverError) {
      if (error.cause !== undefined) this.#options.log("call.cause", { call: call.id, message: describe(error.cause) });
      return failed(error.code, error.message);
    }
    if (diskIsFull(error)) {
      this.#options.log("call.cause", { call: call.id, message: describe(error) });
      return failed("InsufficientFreeDisk", `the host has no room on its disk for ${call.method}`);
    }
    this.#options.log("call.unexpected", { call: call.id, method: call.method, message: describe(error) });
    return failed(
      "Unexpected",
      `${call.method} failed unexpectedly; the agent's log has the cause under call ${call.id}`,
    );
  }

  /** Ends what this call, which waits its turn behind it, makes pointless. */
  #preempt({ server, method, params }: CallFrame): void {
    const hard =
      (method === "power_off" && !METHODS.power_off.params.safeParse(params).data?.timeout) ||
      (method === "reboot" && METHODS.reboot.params.safeParse(params).data?.type === "HARD");
    if (method !== "destroy" && !hard) return;
    const reason = new DriverError("BuildAbortException", "it was cancelled: the server is being deleted");
    for (const { kind, abort } of this.#signals.get(server) ?? []) {
      if (kind === "wait" || method === "destroy") abort.abort(reason);
    }
  }
}

function failed(code: CallErrorCode, message: string): Outcome {
  return { ok: false, error: { code, message: message.slice(0, MAX_MESSAGE_CHARS) } };
}

function stale(call: CallFrame): Outcome {
  return failed("StaleGeneration", `generation ${call.generation} of this server is over`);
}

function invalid(call: CallFrame, wrong: string): Outcome {
  return failed("InvalidCall", `${call.method}: parameter ${wrong} is wrong`);
}
