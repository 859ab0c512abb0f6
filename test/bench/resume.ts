/** How long a page that lost its socket looks at an old picture: from the loss to the next picture, all of it. */
import { type Bench, percentileRows } from "./bench.ts";
import { timed } from "./statistics.ts";
import { closeScreen, firstPicture, openScreen } from "./viewer.ts";

const WARM_UP = 5;

const count = (quick: boolean) => (quick ? 20 : 200);

export const resume: Bench = {
  name: "resume",
  about: (quick) =>
    `the socket is cut; resume, WebSocket, picture of 1.2 MiB; ${count(quick)} times (websockify: it is opened anew)`,
  async run(target, { quick }) {
    const next = target.session();
    let ws = await openScreen(await next());
    await firstPicture(ws);
    const again = async () => {
      ws.terminate();
      ws = await openScreen(await next());
      await firstPicture(ws);
    };
    await timed(WARM_UP, 1, again);
    const { ms } = await timed(count(quick), 1, again);
    await closeScreen(ws);
    return percentileRows("resume to picture", ms, "≤ 300");
  },
};
