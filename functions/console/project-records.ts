/** What the project keeps of a server's sessions, for those who read them when the server is gone. */
import { causeOf, log } from "../log.ts";
import type { ConsoleStore } from "./console-store.ts";
import type { SessionRecord, SessionRow } from "./session.ts";

export type Recording = {
  env: Env;
  store: ConsoleStore;
  project(): string;
  record(row: SessionRow): SessionRecord;
};

export class ProjectRecords {
  readonly #recording: Recording;
  /** The project is being told until then. */
  #telling = Promise.resolve();
  /** Those who wait for the next telling: what they want told may be too late for the one that goes on. */
  #toTell: Promise<void> | null = null;

  constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** Tells the project what it does not know, at once for all who want it while it is being told. What fails stays untold. */
  tell(): Promise<void> {
    this.#toTell ??= this.#telling.then(() => {
      this.#toTell = null;
      this.#telling = this.#tellNow();
      return this.#telling;
    });
    return this.#toTell;
  }

  async #tellNow(): Promise<void> {
    const { env, store, project, record } = this.#recording;
    const rows = store.untold();
    if (rows.length === 0) return;
    const records = rows.map(record);
    try {
      await env.PROJECT.getByName(project()).saveConsoleSessions(records);
      store.told(rows);
    } catch (error) {
      log("console.untold", { server: records[0]?.server_id, cause: causeOf(error) });
    }
  }
}
