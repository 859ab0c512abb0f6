/** Keystone's envelope of what went wrong; its clients read no other. */
import type { Fault } from "../api/fault.ts";

export function keystoneBody({ status, message }: Fault): object {
  return { error: { code: status, message, title: TITLES[status] ?? "Error" } };
}

const TITLES: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Request Entity Too Large",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};
