/**
 * How a console session ends. The closing side sends the code and the reason; the viewer shows the reason.
 * Codes come from the range that RFC 6455 §7.4.2 leaves to applications; a reason is at most 123 bytes (§5.5).
 * A token that is refused gets no code and no reason: a close frame without payload.
 */
export const CONSOLE_CLOSE = {
  /** The VNC server ended the connection: the server was stopped or deleted, or its screen went away. */
  SCREEN_CLOSED: 4410,
  /** The host has no VNC server for this guest: it is not running. */
  SCREEN_UNAVAILABLE: 4404,
  /** The host's agent is not connected to the edge. */
  HOST_OFFLINE: 4503,
  /** The agent did not come in time. */
  HOST_TIMEOUT: 4504,
  /** The reader is too slow for the relay's buffer. */
  TOO_SLOW: 4408,
  /** The agent is shutting down. */
  AGENT_STOPPING: 4501,
  /** What the viewer sent is no RFB, or more of it than anybody needs. */
  BAD_VIEWER: 4400,
  /** What the VNC server sent cannot be followed, and this viewer may not have all of it. */
  BAD_SCREEN: 4502,
  /** The link that the session came by was taken back. */
  REVOKED: 4403,
  /** The server's owner, or an admin, ended the session. */
  KILLED: 4411,
  /** The link says that its sessions end with it, and it has. */
  EXPIRED: 4412,
  /** Who gave the link may not give it any more: a role was taken away, or the user or project was disabled. */
  LOCKED_OUT: 4423,
  /** An admin locked the server, and who gave the link is none. */
  LOCKED: 4424,
  /** The session goes on on another socket. */
  MOVED: 4409,
  /** A resume key came that its owner has used since: one of the two has stolen it. */
  STOLEN: 4414,
  /** More sessions on this host than it takes. */
  FULL: 4429,
} as const;
/**
 * Text frames from the edge's relay to the agent: stop reading the screen, and read on. Everything else is binary.
 * Between the two ends of one pair the runtime does this by itself, and neither is sent.
 */
export const HOLD = "hold";
export const GO = "go";

export type ConsoleCloseCode = (typeof CONSOLE_CLOSE)[keyof typeof CONSOLE_CLOSE];

export const CONSOLE_REASON: Record<ConsoleCloseCode, string> = {
  4410: "The server's screen was closed: the server was stopped, restarted or deleted.",
  4404: "The server has no screen now. Start the server and open the console again.",
  4503: "The server's host is not connected. Try again when it is back.",
  4504: "The server's host did not answer in time. Try again.",
  4408: "Your connection is too slow for this screen. Reconnect to go on.",
  4501: "The host's agent is restarting. Reconnect in a moment.",
  4400: "The viewer sent something that is not the VNC protocol. Open the console again, or with another viewer.",
  4502: "The server's screen speaks a form of VNC that this link cannot be kept safe with.",
  4403: "This console link was withdrawn.",
  4411: "This session was ended by the server's owner or an administrator.",
  4412: "The time of this console link is over.",
  4423: "Who gave this console link may not give it any more.",
  4424: "An administrator has locked the server.",
  4409: "This console goes on in another window.",
  4414: "This session was ended for your safety: its key was used in two places.",
  4429: "The server's host has too many consoles open. Close one, or try again later.",
};

/** How a screen is shared: everybody who may types; one at a time; or there is one viewer alone. */
export const SHARING = ["all", "one", "private"] as const;
export type Sharing = (typeof SHARING)[number];

/** Longest label of a link, and so the longest name that a person on a screen has. */
export const MAX_LABEL_CHARS = 64;
