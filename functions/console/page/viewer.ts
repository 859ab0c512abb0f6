/** The console viewer: reads the link, connects by itself, and says what happens. */
import { focusBar, setUpBar } from "./bar.ts";
import { setUpChoices } from "./choices.ts";
import { Clipboard } from "./clipboard.ts";
import { fetchKey, handOver } from "./hand-over.ts";
import { setUpKeys } from "./keys-panel.ts";
import { pickLanguage, Speech } from "./language.ts";
import { readLink, readTitle } from "./link.ts";
import { notice } from "./notice.ts";
import { Panels } from "./panels.ts";
import { PeoplePanel } from "./people-panel.ts";
import { Power } from "./power.ts";
import { Screen } from "./screen.ts";
import { saveScreenshot } from "./screenshot.ts";
import { Session } from "./session.ts";
import { loadSettings } from "./settings.ts";
import type { Status } from "./status.ts";
import { setUpTouchKeyboard } from "./touch-keyboard.ts";
import { actionFor } from "./trouble.ts";
import { Typing } from "./typing.ts";
import { button, part, showLatency, showStatus, showTitle } from "./view.ts";

/** What this tab remembers in its history entry: not the token, only that there was one. */
type Remembered = { opened?: boolean } | null;

const link = readLink(location.href);
const reopened = (history.state as Remembered)?.opened === true;
history.replaceState({ opened: reopened || link.token !== null }, "", link.cleanUrl);

const settings = loadSettings();
const speech = new Speech(pickLanguage(settings.language, navigator.languages));
const screen = new Screen(part("screen", HTMLElement), part("still", HTMLElement), settings, focusBar);
const panels = new Panels(() => screen.focus());
setUpBar(screen, panels, speech);
setUpChoices(settings, screen, speech);
const keys = setUpKeys(screen);
setUpTouchKeyboard(screen, keys);
const clipboard = new Clipboard(screen, speech);
// Before the dialog takes the focus: it gives it back to who had it.
button("type-text").addEventListener("click", (event) => panels.chosen(event));
const typing = new Typing(keys, speech);
button("screenshot").addEventListener("click", async (event) => {
  panels.chosen(event);
  if (await saveScreenshot(screen, serverName)) notice(speech.words.pictureSaved);
});

let serverName = link.title?.name ?? "";
let status: Status = { state: "connecting" };
if (link.title !== null) showTitle(link.title);

const session = new Session(part("screen", HTMLElement), link.token, {
  status(now) {
    if (now.state !== status.state && (now.state === "ended" || now.state === "pin")) {
      screen.forget();
      panels.close();
    }
    status = now;
    showStatus(now, speech.words);
  },
  opened({ server, rights }) {
    serverName = server.name;
    showTitle({ name: server.name, id: server.id });
    people.allow(rights.input);
    clipboard.allow(rights.clipboard);
    power.allow(rights.power);
  },
  connected(rfb) {
    screen.show(rfb);
    clipboard.follow(rfb);
    labelScreen();
  },
  named(desktop) {
    if (serverName !== "") return;
    showTitle(readTitle(desktop));
  },
  said: (frame) => people.hear(frame),
  latency: showLatency,
  ending() {
    typing.stop();
    keys.release();
    screen.freeze();
    people.clear();
    panels.close(button("people"));
  },
});

const people = new PeoplePanel(speech, {
  say: (frame) => session.say(frame),
  typing: (may) => {
    screen.viewOnly = !may;
    clipboard.sendable = may;
    button("keys").hidden = button("type-text").hidden = !may;
    if (!may) typing.stop();
  },
});

const power = new Power(speech, panels, {
  serverName: () => serverName,
  order: (what) => session.order(what),
});

/** For those who do not see it. */
function labelScreen(): void {
  screen.label(speech.words.screenOf(serverName));
}

/** The card's button. */
async function act(): Promise<void> {
  const action = status.state === "ended" ? actionFor(status.trouble) : null;
  if (action === "again") session.again();
  if (action === "start" && (await power.give("start"))) session.poke();
  if (action === "bring" && session.id !== null) {
    const key = await fetchKey(session.id);
    if (key === null) notice(speech.words.notHanded);
    else session.again(key);
  }
}

button("reconnect").addEventListener("click", () => void act());
part("pin-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  session.enterPin(part("pin", HTMLInputElement).value);
});

handOver(() => {
  const { key, id } = session;
  return key === null || id === null || status.state === "ended" ? null : { session: id, key };
});
addEventListener("online", () => session.poke());
addEventListener("focus", () => session.poke());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") session.poke();
});
// A link that differs only in its fragment does not load the page again when it is opened in this tab.
addEventListener("hashchange", () => {
  if (readLink(location.href).token !== null) location.reload();
});

speech.always(() => {
  showStatus(status, speech.words);
  labelScreen();
});
if (!session.start()) {
  status = { state: "no-link", reopened };
  showStatus(status, speech.words);
}
