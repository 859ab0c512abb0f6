/** The screens of a fake host's guests: an RFB server each, on a socket of its own. */
import type { DriverContext } from "../driver.ts";
import { hasScreen } from "./guest-life.ts";
import type { StoredGuest } from "./guest-store.ts";
import { RfbServer } from "./rfb-server.ts";
import { Screen } from "./screen.ts";
import { prepareSocket, removeSocket, socketPath } from "./socket-folder.ts";
import type { TerminalText } from "./terminal.ts";

type Served = { screen: Screen; server: RfbServer };

export class Screens {
  readonly #ctx: Pick<DriverContext, "stateDir" | "log">;
  readonly #host: string;
  readonly #served = new Map<string, Served>();

  constructor(ctx: Pick<DriverContext, "stateDir" | "log">, host: string) {
    this.#ctx = ctx;
    this.#host = host;
  }

  /** The socket of a guest's screen; undefined when it has none. */
  path(uuid: string): string | undefined {
    return this.#served.get(uuid)?.server.path;
  }

  /** Makes the screen what the row says: serves one, sets its clock, or ends it with its clients' connections. */
  async follow(guest: StoredGuest): Promise<void> {
    if (!hasScreen(guest)) return this.close(guest.uuid);
    const served = this.#served.get(guest.uuid);
    if (served) served.screen.follow(guest);
    else await this.#serve(guest);
  }

  /** Shows a line that the guest's kernel prints. */
  print(uuid: string, text: string): void {
    this.#served.get(uuid)?.screen.print(text);
  }

  /** What stands on the guest's screen; null when it has none. */
  text(uuid: string): TerminalText | null {
    return this.#served.get(uuid)?.screen.text ?? null;
  }

  showText(uuid: string, text: TerminalText): void {
    const served = this.#served.get(uuid);
    if (served) served.screen.text = text;
  }

  async close(uuid: string): Promise<void> {
    const served = this.#served.get(uuid);
    this.#served.delete(uuid);
    await served?.server.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#served.keys()].map((uuid) => this.close(uuid)));
  }

  /** Ends the screen and leaves nothing of it on disk. */
  async remove(uuid: string): Promise<void> {
    await this.close(uuid);
    await removeSocket(socketPath(this.#ctx.stateDir, uuid));
  }

  async #serve(guest: StoredGuest): Promise<void> {
    const { uuid, spec, rescue } = guest;
    const size = `${spec.vcpus} vCPU, ${spec.memory_mb} MB memory, ${spec.disk_gb} GB disk`;
    const power = rescue === null ? "RUNNING" : "RUNNING from its rescue image";
    const screen = new Screen({ name: spec.display_name, uuid, size, host: this.#host, power }, guest);
    const path = socketPath(this.#ctx.stateDir, uuid);
    await prepareSocket(path);
    const log: DriverContext["log"] = (event, fields) => this.#ctx.log(event, { server: uuid, ...fields });
    const server = await RfbServer.listen({ path, display: screen, name: spec.display_name, log });
    this.#served.set(uuid, { screen, server });
  }
}
