/** One line per event on stderr. Secrets are never passed in; what looks like one is blotted out all the same. */
export type LogFields = Record<string, unknown>;
/** `event` is `noun.verb`; numbers carry their unit in the field's name (`ms`, `bytes_up`). */
export type Log = (event: string, fields?: LogFields) => void;

export type LogTarget = { write(line: string): unknown; isTTY?: boolean };

const SECRET_FIELD = /^(.*_)?(token|ticket|assertion|key|authorization|password|secret)$/i;
/** A JWT in compact form (RFC 7519 §3), as assertions are: its header is an object, so it starts with base64url of `{"`. */
const JWT = /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g;
const BEARER = /\bBearer\s+\S+/gi;
const BLOT = "***";

/** Writes JSON lines, or readable ones when the target is a terminal. */
export function createLog(target: LogTarget, now: () => Date = () => new Date()): Log {
  const format = target.isTTY === true ? readable : json;
  return (event, fields = {}) => {
    const safe: LogFields = {};
    for (const [name, value] of Object.entries(fields)) safe[name] = SECRET_FIELD.test(name) ? BLOT : blot(value);
    target.write(`${format(now().toISOString(), event, safe)}\n`);
  };
}

function blot(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll(JWT, BLOT).replaceAll(BEARER, BLOT);
  if (value instanceof Error) return blot(`${value.name}: ${value.message}`);
  return value;
}

function json(time: string, event: string, fields: LogFields): string {
  return JSON.stringify({ time, event, ...fields });
}

function readable(time: string, event: string, fields: LogFields): string {
  const { message, ...rest } = fields;
  const pairs = Object.entries(rest).map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${name}=${text !== undefined && /\s/.test(text) ? JSON.stringify(text) : text}`;
  });
  const head = `${time.slice(11, 19)} ${event.padEnd(20)}`;
  return [head, ...(typeof message === "string" ? [message] : []), ...pairs].join(" ");
}
