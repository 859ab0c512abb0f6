/** Somebody who looks at a server's screen while it moves, and comes back as the page does (console/page/session.ts). */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { backoff } from "../../functions/console/page/backoff.ts";
import { type OpenedSession, SCREEN_PATH } from "../../functions/protocol/console-session.ts";
import { askSession, dial, type PageScreen, tokenIn } from "../page-session.ts";
import type { ApiClient } from "./api-client.ts";

const TRIES = 20;

const given = z.object({ console_link: z.object({ url: z.string() }) });

export class LiveViewer {
  readonly #edge: { url: string };
  #screen: PageScreen;
  #key: string;

  private constructor(edge: { url: string }, screen: PageScreen, key: string) {
    this.#edge = edge;
    this.#screen = screen;
    this.#key = key;
  }

  static async on(edge: { url: string }, api: ApiClient, server: string): Promise<LiveViewer> {
    const { url } = given.parse(
      await api.call("POST", `/servers/${server}/console-links`, { console_link: {} }),
    ).console_link;
    const { opened } = await askSession(edge, "", { token: tokenIn(url) });
    return new LiveViewer(edge, await pictureOf(edge, opened), opened.key);
  }

  /** Resolves when there is a picture again after this one has ended, to the milliseconds in between. */
  async away(): Promise<number> {
    await once(this.#screen.ws, "close");
    const leftMs = performance.now();
    for (let attempt = 0; attempt < TRIES; attempt++) {
      await sleep(backoff(attempt));
      const { status, opened } = await askSession(this.#edge, "/resume", { key: this.#key });
      if (status !== 200) continue;
      this.#key = opened.key;
      const screen = await pictureOf(this.#edge, opened).catch(() => null);
      if (screen === null) continue;
      this.#screen = screen;
      return performance.now() - leftMs;
    }
    throw new Error("the viewer did not come back");
  }

  close(): void {
    this.#screen.ws.close();
  }
}

async function pictureOf(edge: { url: string }, { ticket }: OpenedSession): Promise<PageScreen> {
  const screen = dial(edge, `${SCREEN_PATH}?ticket=${ticket}`);
  await screen.client.ready();
  screen.client.watch();
  await screen.client.waitForScreen(() => true);
  return screen;
}
