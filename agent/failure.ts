/** A failure that a person can act on: its message is one line, says what to do, and holds no secret. */
export class Failure extends Error {
  override name = "Failure";
}

/**
 * One line for the local log: name, message and place of the error and of each of its causes.
 * The place is the first stack frame, so that a bug can be found without a stack trace in the log.
 */
export function describe(error: unknown): string {
  const parts: string[] = [];
  let at: unknown = error;
  while (at !== undefined && at !== null && parts.length < 5) {
    if (!(at instanceof Error)) {
      parts.push(String(at));
      break;
    }
    const place = /\(?([^\s(]+:\d+:\d+)\)?$/m.exec(at.stack ?? "")?.[1];
    const code = "code" in at && typeof at.code === "string" ? ` [${at.code}]` : "";
    parts.push(`${at.name}: ${at.message.replaceAll(/\s*\n\s*/g, " ")}${code}${place ? ` (${place})` : ""}`);
    at = at.cause;
  }
  return parts.join(" <- ");
}

/** What went wrong on the network, in a few words: the system's code where there is one (ECONNREFUSED), else the message. */
export function networkReason(error: unknown): string {
  let at: unknown = error;
  for (let depth = 0; at instanceof Error && depth < 5; depth += 1) {
    if ("code" in at && typeof at.code === "string") return at.code;
    if (at.cause === undefined) return at.message;
    at = at.cause;
  }
  return String(at);
}

/** https://sqlite.org/rescode.html#full */
const SQLITE_FULL = 13;

/** Whether a file, or the journal, could not be written because the disk has no room; a program says so in LC_ALL=C. */
export function diskIsFull(error: unknown): boolean {
  if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_FULL) return true;
  const said = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
  if (/No space left|Disk quota exceeded/.test(said)) return true;
  return ["ENOSPC", "EDQUOT"].includes(networkReason(error));
}
