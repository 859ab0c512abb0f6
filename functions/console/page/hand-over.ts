/**
 * The same session in two windows: a tab that was duplicated has its twin's key, and the one that uses it moves the
 * session. The other can have it back only by the newest key, and an older one would look stolen; so it asks for it.
 */

const CHANNEL = "console-sessions";
/** For a window in the background, which the browser may have slowed down. */
const ANSWER_MS = 2_000;

type Message = { session: string; key?: string };

/** Only windows of the page's own origin hear it. */
function listen(hear: (message: Message) => void): BroadcastChannel {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<Message>) => hear(data);
  return channel;
}

/** Answers windows that ask for the session that is open here. `current` gives none while it is not. */
export function handOver(current: () => { session: string; key: string } | null): void {
  const channel = listen(({ session, key }) => {
    const open = current();
    if (key === undefined && open?.session === session) channel.postMessage(open);
  });
}

/** The newest key of a session, from the window that has it; null when none answers. */
export function fetchKey(session: string): Promise<string | null> {
  return new Promise((done) => {
    const finish = (key: string | null): void => {
      clearTimeout(timer);
      channel.close();
      done(key);
    };
    const channel = listen((message) => {
      if (message.session === session && message.key !== undefined) finish(message.key);
    });
    const timer = setTimeout(() => finish(null), ANSWER_MS);
    channel.postMessage({ session } satisfies Message);
  });
}
