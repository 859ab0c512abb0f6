/** What the page says, in English. The other languages have the same keys, or they do not compile. */
import { CONSOLE_REASON } from "../../protocol/console.ts";
import { whenIn } from "./when.ts";

/** Of a refusal, ready to be put into a sentence. `power`: this person may start the server. */
export type Told = { since: string | null; ask: string | null; power: boolean };

const since = (time: string | null) => (time === null ? "" : ` since ${time}`);
const askForLink = ({ ask }: Told) => (ask === null ? "Ask for a new link." : `Ask ${ask} for a new link.`);

export const en = {
  when: whenIn("en"),

  state: {
    connecting: "Connecting…",
    connected: "Connected",
    resuming: "Coming back…",
    pin: "PIN needed",
    ended: "Ended",
    "no-link": "No link",
  },
  resuming: "Coming back…",
  notYet: "The console is not there yet",
  over: "The console has ended",
  notOpen: "The console cannot open",
  moved: "This console goes on in another window",
  stopped: "The server is off",
  linkNeeded: {
    heading: "A console link is needed",
    reason: "This address has no token, so it opens no screen. A console link looks like this:",
  },
  linkGone: {
    heading: "Please open the link again",
    reason: "For your safety a link's token is not kept. Open the console link once more, or ask for a new one.",
  },

  pinHeading: "This link asks for its PIN",
  pinNeeded: "Whoever gave you the link has told you the PIN, or will.",
  pinWrong: "That PIN is wrong. After a few wrong ones the link is locked.",

  unreachable: "The console service cannot be reached. Check your network; this page keeps trying.",
  lost: (code: number | null) => `The connection was lost${code === null ? "." : ` (code ${code}).`}`,
  closed: {
    ...CONSOLE_REASON,
    4410: "The server's screen was closed.",
    4404: "The server has no screen now.",
    4503: "The server's host is not connected.",
    4504: "The server's host did not answer in time.",
    4408: "Your connection is too slow for this screen.",
    4501: "The host's agent is restarting.",
    4409: "It was opened there with this session's key. Close that window, or bring the console here.",
  },
  fault: {
    credentials: () => "The screen asks for a password, which a console link never needs. Tell the cloud's operator.",
    unverified: () => "The screen asks to be verified, which a console link never needs. Tell the cloud's operator.",
    garbled: () => "The screen sent something that this viewer does not understand.",
    unloadable: () => "This browser could not start the viewer. Open the link in another browser.",
    declined: (detail: string) => `The screen refused the connection${detail === "" ? "." : `: ${detail}`}`,
  },
  why: {
    unknown: (told: Told) => ({
      reason: "This link is not valid: it is wrong, it has expired, or it was for another cloud.",
      next: askForLink(told),
    }),
    expired: (told: Told) => ({ reason: `This link has expired${since(told.since)}.`, next: askForLink(told) }),
    used_up: (told: Told) => ({
      reason: "This link was used as often as it may be.",
      next: askForLink(told),
    }),
    revoked: (told: Told) => ({ reason: `This link was withdrawn${since(told.since)}.`, next: askForLink(told) }),
    locked_out: (told: Told) => ({
      reason: "Who gave this link may not give it any more.",
      next: told.ask === null ? "Ask somebody else on the project for a new link." : askForLink(told),
    }),
    locked: (told: Told) => ({
      reason: `An administrator has locked the server${since(told.since)}.`,
      next: `Ask ${told.ask ?? "an administrator"} to unlock it.`,
    }),
    killed: (told: Told) => ({
      reason: "This session was ended by the server's owner or an administrator.",
      next: askForLink(told),
    }),
    stolen: (told: Told) => ({
      reason: "This session was ended for your safety: its key was used in two places.",
      next: askForLink(told),
    }),
    pin_needed: () => ({ reason: "This link asks for its PIN.", next: "" }),
    pin_wrong: () => ({ reason: "That PIN is wrong.", next: "" }),
    address: (told: Told) => ({
      reason: "This link is not for the network that you are on.",
      next: `Use the network that it is for, such as the office or its VPN. ${askForLink(told)}`,
    }),
    server_gone: () => ({ reason: "The server is not there any more: it was deleted.", next: "" }),
    server_stopped: (told: Told) => ({
      reason: told.since === null ? "It is off, so it has no screen." : `It has been off since ${told.since}.`,
      next: told.power
        ? "Start it from here; the console opens when it is up."
        : `Ask ${told.ask ?? "the server's owner"} to start it. The console opens by itself when it is up.`,
    }),
    server_restarted: (told: Told) => ({
      reason: "The server was started anew since this link was made, and the link was for the time before.",
      next: askForLink(told),
    }),
    host_offline: (told: Told) => ({
      reason: `The server's host has been offline${since(told.since)}.`,
      next: "The console comes by itself when the host is back.",
    }),
    private: () => ({
      reason: "Somebody is on this console, and it is set to be private.",
      next: "Try again when they are done.",
    }),
    full: () => ({
      reason: "As many people as may be are on this console.",
      next: "Try again when somebody has left.",
    }),
    power_denied: () => ({ reason: "This link does not let you switch the server.", next: "" }),
    too_many_requests: () => ({
      reason: "There were too many tries from your network.",
      next: "This page tries again in a moment.",
    }),
    origin: () => ({
      reason: "The page that shows this console is not one that may.",
      next: "Open the link in a window of its own, or tell the cloud's operator.",
    }),
    failed: () => ({ reason: "The console service has a problem.", next: "This page keeps trying." }),
  },
  action: { again: "Try again", start: "Start the server", bring: "Bring it here" },
  notHanded: "The other window did not answer. Go on there, or open the link again.",

  people: (count: number) => (count === 1 ? "1 person is here" : `${count} people are here`),
  you: "you",
  owner: "owner",
  viewer: "watches",
  asking: "asks for control",
  inControl: "in control",
  sharing: {
    all: "Everybody who may type can type.",
    one: "One person types at a time.",
    private: "Nobody else can come in.",
  },
  give: (name: string) => `Give control to ${name}`,
  asks: (name: string) => `${name} asks for control`,
  asked: "You have asked for control.",
  nowYours: "You are in control.",
  nowTheirs: (name: string) => `${name} is in control.`,
  nowNobodys: "Nobody is in control.",
  away: (name: string) => `${name} has lost the connection. Control is kept for a moment.`,
  came: (name: string) => `${name} is here now.`,
  left: (name: string) => `${name} has left.`,
  somebody: "Somebody",
  screenOf: (name: string) => `Screen of ${name}. Keys go to the server; Ctrl+Alt+Home leaves it.`,

  power: {
    start: { ask: "", done: "The server is told to start." },
    stop: {
      ask: "The server is told to shut down. What is not saved in it may be lost.",
      done: "The server is told to shut down.",
    },
    reboot: {
      ask: "The server is told to shut down and start again. What is not saved in it may be lost.",
      done: "The server is told to restart.",
    },
    reset: {
      ask: "The server's power is cut and comes back, as with its reset button. What is not saved in it is lost.",
      done: "The server is reset.",
    },
  },
  powerAsk: {
    start: (name: string) => `Start ${name}?`,
    stop: (name: string) => `Stop ${name}?`,
    reboot: (name: string) => `Reboot ${name}?`,
    reset: (name: string) => `Reset ${name}?`,
  },
  untypable: (chars: string) =>
    `A US keyboard has no key for ${chars}. The rest can be typed without them, or nothing is sent.`,
  typingAt: (done: number, of: number) => `${done} of ${of} keys`,
  typedAll: "The text was typed.",
  typedPart: "Typing was stopped.",
  clipboardSent: "Sent to the server's clipboard.",
  clipboardCame: "The server copied a text. It is in the clipboard panel.",
  clipboardCopied: "Copied.",
  clipboardDenied: "The browser does not allow it. Use its own copy and paste.",
  pictureSaved: "The picture is in your downloads.",

  /** Words that stand in page.html, by the names that it gives them. */
  ui: {
    viewOnly: "View only",
    viewOnlyHint: "You can watch; keys and pointer do not go to the server.",
    people: "Who is here",
    keys: "Keys",
    clipboard: "Clipboard",
    power: "Power",
    display: "Display",
    fullScreen: "Full screen",
    leaveFullScreen: "Leave full screen",
    more: "More",
    keyboard: "Show or hide the keyboard",
    askForControl: "Ask for control",
    takeControl: "Take control",
    releaseControl: "Release control",
    giveIt: "Give",
    notNow: "Not now",
    hold: "Held for the next key",
    withCtrlAlt: "With Ctrl+Alt",
    toBar: "to this bar,",
    back: "back",
    barAndBack: "Ctrl+Alt+Home comes to this bar, Esc goes back to the screen.",
    clipboardHint: "What the server copies comes here. Write or paste here what it should have.",
    clipboardText: "Text of the clipboard",
    sendToServer: "Send to the server",
    copy: "Copy",
    paste: "Paste",
    start: "Start",
    stop: "Stop",
    reboot: "Reboot",
    reset: "Reset",
    size: "Size",
    fit: "Fit",
    actual: "1:1",
    resize: "Resize",
    fitHint: "Fit the screen to the window",
    actualHint: "Show the screen in its own size",
    resizeHint: "Ask the server for a screen of this window's size",
    quality: "Picture",
    sharp: "Sharp",
    balanced: "Balanced",
    fast: "Fast",
    screenshot: "Save a picture",
    typeText: "Type a text…",
    typeHeading: "Type a text",
    typeHint: "It is sent as key presses for a US keyboard, so it also works where there is no clipboard.",
    typeLabel: "Text to type",
    typeStart: "Type",
    typeRest: "Type without them",
    cancel: "Cancel",
    stopTyping: "Stop",
    language: "Language",
    pin: "PIN",
    open: "Open",
    linkHelp: "Get one from the dashboard, or with",
    builtOn: "Viewer built on",
    keysForServer: "Keys for the server",
  },
};

export type Words = typeof en;
