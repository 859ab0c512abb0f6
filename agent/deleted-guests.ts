/**
 * What is left on the host of servers that are deleted: guests that the edge says should be gone
 * (nova: _cleanup_running_deleted_instances), and files without a guest (nova: _run_pending_deletes).
 * A guest that the edge has not heard of is in neither, and never touched.
 */
import { randomUUID } from "node:crypto";
import type { DeletedGuest } from "../functions/protocol/frames.ts";
import { POWER_STATE } from "../functions/protocol/guest.ts";
import type { Calls } from "./calls.ts";
import type { AgentConfig } from "./config.ts";
import type { Driver } from "./drivers/driver.ts";
import { describe } from "./failure.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";

export type DeletedGuestsOptions = {
  driver: Driver;
  journal: Journal;
  calls: Calls;
  log: Log;
  config: Pick<
    AgentConfig,
    | "running_deleted_instance_action"
    | "running_deleted_instance_timeout"
    | "running_deleted_instance_poll_interval"
    | "maximum_instance_delete_attempts"
  >;
  /** The Unix time in ms. */
  now?: () => number;
};

export class DeletedGuests {
  readonly #options: DeletedGuestsOptions;
  /** What the edge told of, until it is done. */
  readonly #told = new Map<string, DeletedGuest>();
  /** How often a server's files could not be removed. */
  readonly #attempts = new Map<string, number>();

  constructor(options: DeletedGuestsOptions) {
    this.#options = options;
  }

  /** The edge says that these should be gone. Those whose time is over are dealt with now, the others when it is. */
  told(guests: readonly DeletedGuest[]): void {
    if (this.#options.config.running_deleted_instance_poll_interval < 0) return;
    const fresh = guests.filter(({ server }) => !this.#told.has(server));
    for (const guest of fresh) this.#told.set(guest.server, guest);
    void this.#dealWith(fresh);
  }

  /** The periodic task: deals with all that are still here. */
  cleanUp(): Promise<void> {
    return this.#dealWith([...this.#told.values()]);
  }

  /** The periodic task: removes files that a destroy left, so many times as they may fail to go. */
  async deleteFiles(): Promise<void> {
    const { driver, journal, log, config } = this.#options;
    const destroyed = new Map(journal.destroyedGuests().map((guest) => [guest.server, guest]));
    for (const server of await driver.listLeftovers()) {
      const guest = destroyed.get(server);
      const attempts = this.#attempts.get(server) ?? 0;
      if (guest === undefined || attempts >= config.maximum_instance_delete_attempts) continue;
      const done = await this.#destroy(guest);
      if (done) this.#attempts.delete(server);
      else this.#attempts.set(server, attempts + 1);
      log("guest.files_removed", { server, ok: done, attempt: attempts + 1 });
    }
  }

  async #dealWith(guests: readonly DeletedGuest[]): Promise<void> {
    const { log, config, now = Date.now } = this.#options;
    const until = now() - config.running_deleted_instance_timeout * 1000;
    for (const guest of guests) {
      if (guest.at > until) continue;
      try {
        await this.#dealWithOne(guest);
      } catch (error) {
        log("guest.deleted_stays", { server: guest.server, message: describe(error) });
      }
    }
  }

  async #dealWithOne(guest: DeletedGuest): Promise<void> {
    const { driver, calls, log, config } = this.#options;
    const { server } = guest;
    const action = config.running_deleted_instance_action;
    const found = await driver.getInfo(server);
    if (found === null) {
      this.#told.delete(server);
      return;
    }
    if (action === "noop") return;
    log("guest.deleted_found", { server, power_state: found.power_state, action });
    if (action === "shutdown" && found.power_state !== POWER_STATE.SHUTDOWN) {
      await calls.alone(server, () => driver.powerOff(server));
    }
    if (action === "reap" && (await this.#destroy(guest))) this.#told.delete(server);
  }

  /** By a call of our own, which is refused when a later incarnation of the server was built meanwhile. */
  async #destroy({ server, generation }: Pick<DeletedGuest, "server" | "generation">): Promise<boolean> {
    const { calls } = this.#options;
    const id = `deleted:${randomUUID()}`;
    const outcome = await calls.handle({ t: "call", id, server, generation, method: "destroy", params: {} });
    calls.ack(id);
    return outcome.ok;
  }
}
