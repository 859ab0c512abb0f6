/** The consoles of an agent between an edge and VNC servers that do what a test tells them. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { Consoles } from "../../agent/console/consoles.ts";
import { ByteFeed } from "../../agent/rfb/byte-feed.ts";
import { handshake } from "../../agent/rfb/handshake.ts";
import type { ConsoleClosed } from "../../functions/protocol/frames.ts";
import type { ConsoleSession, Params } from "../../functions/protocol/methods.ts";
import { HELLO, SERVER_INIT, WELCOME } from "../rfb-peers.ts";
import { type AgentConsole, ScriptedEdge } from "./agent-scripted-edge.ts";
import { recordingLog, SERVER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

export const PARAMS = { console: "ab".repeat(32), ticket: "secret-ticket" };
/** A press of a key, 8 bytes. */
export const KEY = Buffer.from([4, 1, 0, 0, 0, 0, 0, 97]);
export const MAX_SESSIONS = 8;

export type OpenedConsole = { screen: Socket; viewer: AgentConsole };

export class ConsoleHost {
  readonly driver = new TinyDriver();
  readonly logged = recordingLog();
  /** What VNC servers have of those that they led in. */
  readonly screens: Socket[] = [];
  readonly closed: ConsoleClosed[] = [];
  readonly consoles: Consoles;
  readonly edge: ScriptedEdge;
  readonly vnc: Server;
  /** Whether VNC servers lead in who comes. */
  leads = true;

  private constructor(edge: ScriptedEdge) {
    this.edge = edge;
    this.vnc = createServer({ noDelay: true }, (socket) => {
      socket.on("error", () => undefined);
      if (this.leads) this.lead(socket);
    });
    this.consoles = new Consoles({
      driver: this.driver,
      edge: edge.url,
      access: { username: null, password: null },
      heartbeatMs: 50,
      maxSessions: MAX_SESSIONS,
      onClosed: (one) => void this.closed.push(one),
      log: this.logged.log,
    });
  }

  static async start(): Promise<ConsoleHost> {
    const host = new ConsoleHost(await new ScriptedEdge().start());
    const path = join(temporaryDir(), "vnc.sock");
    host.vnc.listen(path);
    await once(host.vnc, "listening");
    host.driver.vnc = { transport: "unix", path };
    return host;
  }

  async stop(): Promise<void> {
    await this.consoles.stop();
    for (const screen of this.screens) screen.destroy();
    this.vnc.close();
    await this.edge.stop();
  }

  /** A session whose viewer was led in. */
  async open(params: Params<"open_console"> = PARAMS, server = SERVER): Promise<OpenedConsole> {
    const { edge, screens } = this;
    const before = edge.consoles.length;
    await this.consoles.open(server, params);
    await until(() => edge.consoles.length > before && screens.length > before, "both ends");
    const viewer = edge.consoles.at(-1)!;
    viewer.socket.send(HELLO);
    await until(() => Buffer.concat(viewer.messages).equals(WELCOME), "the welcome");
    viewer.messages.length = 0;
    return { screen: screens.at(-1)!, viewer };
  }

  /** Leads the agent in; from then on the socket is the test's. */
  lead(socket: Socket): void {
    const reading = new ByteFeed(handshake((bytes) => socket.write(bytes), SERVER_INIT));
    const feed = (bytes: Buffer) => {
      reading.push(bytes);
      if (!reading.ended) return;
      socket.off("data", feed);
      socket.pause();
      this.screens.push(socket);
    };
    socket.on("data", feed);
  }
}

/** The parameters of a person's session, by a number for its name. */
export function person(
  number: number,
  about: Partial<ConsoleSession> = {},
  rights = { input: true, clipboard: true },
): Params<"open_console"> {
  return {
    ...PARAMS,
    rights,
    session: {
      session: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
      leg: 1,
      label: `person ${number}`,
      owner: false,
      page: true,
      sharing: "one",
      ...about,
    },
  };
}
