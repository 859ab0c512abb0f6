/** A console session among a server's instance actions. */
import type { InstanceAction, InstanceEvent } from "../conductor/action-log.ts";
import type { SessionRecord } from "./session.ts";

/** `request_id` is the session's. */
export function instanceActionOf(session: SessionRecord): InstanceAction {
  const { id, user_id, project_id, started_at, ended_at } = session;
  return {
    request_id: `req-${id}`,
    action: "console",
    ...{ user_id, project_id },
    start_time: started_at,
    updated_at: ended_at,
    message: null,
  };
}

/** Its one event, which has the rest as JSON for operators. */
export function eventOf(session: SessionRecord, host: string): InstanceEvent {
  const { link_id, label, address, ended_by, bytes_up, bytes_down, keys, pointers, cut_texts } = session;
  return {
    event: "console_session",
    host,
    start_time: session.started_at,
    finish_time: session.ended_at,
    result: session.open ? null : "Success",
    details: JSON.stringify({ link_id, label, address, ended_by, bytes_up, bytes_down, keys, pointers, cut_texts }),
  };
}
