/** The console viewer: reads the link, connects by itself, and says what happens. */
import { focusBar, setUpBar } from "./bar.ts";
import { readLink, readTitle } from "./link.ts";
import { Screen } from "./screen.ts";
import { openSession } from "./session.ts";
import { type Ending, noLink } from "./status.ts";
import { setUpTouchKeyboard } from "./touch-keyboard.ts";
import { part, showStatus, showTitle } from "./view.ts";

/** What this tab remembers in its history entry: not the token, only that there was one. */
type Remembered = { opened?: boolean } | null;

const link = readLink(location.href);
const reopened = (history.state as Remembered)?.opened === true;
history.replaceState({ opened: reopened || link.token !== null }, "", link.cleanUrl);

let name = link.title?.name ?? "the server";
if (link.title !== null) showTitle(link.title);

const target = part("screen", HTMLElement);
const screen = new Screen(target, focusBar);
setUpBar(screen);
setUpTouchKeyboard(screen);

function start(wsUrl: string): void {
  let began = false;
  showStatus({ state: "connecting" });
  void openSession(target, wsUrl, {
    connected(rfb) {
      began = true;
      showStatus({ state: "connected" });
      screen.show(rfb, name);
    },
    named(desktop) {
      if (link.title !== null) return;
      showTitle(readTitle(desktop));
      name = readTitle(desktop).name;
    },
    ended(ending: Ending) {
      screen.clear();
      showStatus({ state: "ended", began, ...ending });
    },
  });
}

const { wsUrl } = link;
if (wsUrl === null) {
  showStatus(noLink(reopened));
} else {
  part("reconnect", HTMLButtonElement).addEventListener("click", () => start(wsUrl));
  start(wsUrl);
}

// A link that differs only in its fragment does not load the page again when it is opened in this tab.
addEventListener("hashchange", () => {
  if (readLink(location.href).token !== null) location.reload();
});
