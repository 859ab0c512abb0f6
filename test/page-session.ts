/** The HTTP and the WebSocket by which a viewer page speaks to the edge (functions/protocol/console-session.ts), for tests. */
import { WebSocket } from "ws";
import type { FromPage, ToPage } from "../functions/protocol/console-presence.ts";
import { type OpenedSession, type RefusedSession, SCREEN_PATH } from "../functions/protocol/console-session.ts";
import { type TestEdge, until } from "./edge.ts";
import { terminal } from "./fake-terminal.ts";
import { RfbClient } from "./rfb-client.ts";

export type Asked = { status: number; opened: OpenedSession; refused: RefusedSession["refused"] };

export type PageScreen = {
  ws: WebSocket;
  client: RfbClient;
  /** What came beside the screen, in order. */
  told: ToPage[];
  say(message: FromPage): void;
  /** How it ended. */
  end(): Promise<{ code: number; reason: string }>;
};

/** POST /console/v1/sessions{path}. */
export async function askSession(edge: TestEdge, path: "" | "/resume" | "/power", body: object): Promise<Asked> {
  const response = await edge.call("POST", `/console/v1/sessions${path}`, { token: null, body });
  const text = await response.text();
  const answer = text === "" ? {} : JSON.parse(text);
  return { status: response.status, opened: answer, refused: answer.refused };
}

/** The token in a link's URL. */
export const tokenIn = (url: string) => new URL(url).searchParams.get("token") ?? "";

/** Connects with a ticket, and waits for the first picture. */
export async function screenOf(edge: TestEdge, { ticket }: OpenedSession): Promise<PageScreen> {
  const screen = dial(edge, `${SCREEN_PATH}?ticket=${ticket}`);
  await screen.client.ready();
  screen.client.watch();
  await screen.client.waitForScreen((picture) => terminal({ width: picture.width, data: picture.rgba }) !== null);
  return screen;
}

export function dial(edge: Pick<TestEdge, "url">, path: string): PageScreen {
  const ws = new WebSocket(`${edge.url.replace(/^http/, "ws")}${path}`);
  const client = new RfbClient((bytes) => ws.send(bytes), { timeoutMs: 15_000 });
  const told: ToPage[] = [];
  let closed: { code: number; reason: string } | null = null;
  ws.on("error", () => undefined);
  ws.on("message", (data, isBinary) => {
    if (isBinary) client.feed(data as Buffer);
    else told.push(JSON.parse(String(data)));
  });
  ws.on("close", (code, reason) => {
    closed = { code, reason: String(reason) };
    client.closed();
  });
  return {
    ws,
    client,
    told,
    say: (message) => ws.send(JSON.stringify(message)),
    end: () => until(() => closed, "the console is closed"),
  };
}

/** Types, and waits until the guest shows it. */
export async function typeOn({ client }: PageScreen, text: string): Promise<void> {
  const shown = () => terminal({ width: client.screen.width, data: client.screen.rgba });
  const before = shown();
  client.type(text);
  await client.waitForScreen(() => before !== null && shown()?.equals(before) === false);
}
