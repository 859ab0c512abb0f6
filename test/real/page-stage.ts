/** What tests of the viewer page share: one Chromium for a file; for each test an edge, and the windows it opened. */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { type PageEdge, pageEdge, TOKEN } from "../page-edge.ts";
import { needs } from "./requirement.ts";
import { launchBrowser, openViewer, type Viewer, type ViewerOptions } from "./viewer.ts";

export type Stage = {
  /** Of the test that runs. */
  readonly edge: PageEdge;
  /** Opens the link, and waits until it is connected unless told not to. */
  open(options?: StageOptions): Promise<Viewer>;
};
export type StageOptions = ViewerOptions & {
  /** After the page's name; the link with its token unless told. */
  query?: string;
  /** False where it does not. */
  connects?: boolean;
};

/** Skips what needs Chromium where there is none. */
export const noChromium = !needs("the test of the viewer page", ["/usr/bin/chromium"], "chromium");

/** To be called inside `describe`: it brings its own hooks. A test ends with no policy violated and nothing thrown. */
export function stage(): Stage {
  let browser: Browser;
  let edge: PageEdge;
  let viewers: Viewer[] = [];

  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    edge = await pageEdge();
  });
  afterEach(async () => {
    const problems = viewers.flatMap((viewer) => viewer.problems);
    for (const viewer of viewers) await viewer.close();
    viewers = [];
    await edge?.close();
    // What the browser says of a refusal or of a network that is gone is no fault of the page.
    expect(problems.filter((problem) => !/Failed to load resource|WebSocket connection to/.test(problem))).toEqual([]);
  });

  return {
    get edge() {
      return edge;
    },
    async open({ query = `?token=${TOKEN}`, connects = true, ...options } = {}) {
      const viewer = await openViewer(`${edge.url}/vnc_auto.html${query}`, { ...options, browser });
      viewers.push(viewer);
      if (connects) await viewer.waitForState("connected");
      return viewer;
    },
  };
}
