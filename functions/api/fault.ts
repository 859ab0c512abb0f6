/** Nova's fault envelope: what went wrong, with its status and its name (nova/api/openstack/wsgi.py Fault). */
import type { ContentfulStatusCode } from "hono/utils/http-status";

/** What the envelope is named by the status. */
export const FAULT_NAMES: Record<number, string> = {
  400: "badRequest",
  401: "unauthorized",
  403: "forbidden",
  404: "itemNotFound",
  405: "badMethod",
  406: "computeFault",
  409: "conflictingRequest",
  410: "computeFault",
  413: "overLimit",
  415: "badMediaType",
  416: "badRequest",
  429: "overLimit",
  500: "computeFault",
  501: "notImplemented",
  503: "serviceUnavailable",
};

/** Thrown by a handler, worded by `onError`. The message is for the caller. */
export class Fault extends Error {
  override name = "Fault";
  readonly status: ContentfulStatusCode;
  readonly headers: Record<string, string>;

  constructor(status: ContentfulStatusCode, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }

  body(): Record<string, { code: number; message: string }> {
    return { [FAULT_NAMES[this.status] ?? "computeFault"]: { code: this.status, message: this.message } };
  }
}

export const badRequest = (message: string) => new Fault(400, message);
export const forbidden = (message: string) => new Fault(403, message);
export const notFound = (message: string) => new Fault(404, message);
export const conflict = (message: string) => new Fault(409, message);

/** nova: Instance <id> could not be found. */
export const instanceNotFound = (id: string) => notFound(`Instance ${id} could not be found.`);

/** What any other throw becomes: the text tells nothing of the inside (CVE-2019-14433). */
export function unexpected(requestId: string): Fault {
  return new Fault(
    500,
    `Unexpected API Error. Please report it to the operator of this deployment, with the request id ${requestId}.`,
  );
}
