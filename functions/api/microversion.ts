/** Negotiating a microversion (nova/api/openstack/api_version_request.py, wsgi.py). A minor is a number: 2.100 is above 2.99. */
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault } from "./fault.ts";

/** The minor of the first and of the last microversion 2.x that is served: up to it, all that is here has Nova's shape. */
export const MIN_MINOR = 1;
export const MAX_MINOR = 96;

const FORM = /^2\.(0|[1-9]\d{0,5})$/;
const ANY_FORM = /^[1-9]\d{0,5}\.(0|[1-9]\d{0,5})$/;

/** The minor asked for in either header; 1 when neither is there. Throws 400 or 406. */
export function requestedMinor(openstack: string | undefined, legacy: string | undefined): number {
  const text = computeVersion(openstack) ?? legacy?.trim() ?? "2.1";
  if (text.toLowerCase() === "latest") return MAX_MINOR;
  if (!ANY_FORM.test(text)) {
    throw badRequest(
      `API Version String ${text.slice(0, 64)} is of invalid format. Must be of format MajorNum.MinorNum.`,
    );
  }
  const minor = Number(FORM.exec(text)?.[1] ?? -1);
  if (minor < MIN_MINOR || minor > MAX_MINOR) {
    throw new Fault(
      406,
      `Version ${text} is not supported by the API. Minimum is 2.${MIN_MINOR} and maximum is 2.${MAX_MINOR}.`,
    );
  }
  return minor;
}

/** The headers that tell which version answered. */
export function versionHeaders(minor: number): Record<string, string> {
  return {
    "OpenStack-API-Version": `compute 2.${minor}`,
    "X-OpenStack-Nova-API-Version": `2.${minor}`,
    Vary: "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
  };
}

/** Negotiates, and sets the headers on whatever comes of the request. */
export const microversion = createMiddleware<AppEnv>(async (c, next) => {
  c.set("minor", MIN_MINOR);
  c.set("minor", requestedMinor(c.req.header("openstack-api-version"), c.req.header("x-openstack-nova-api-version")));
  await next();
});

/** `compute 2.47` among the services that the header may list. */
function computeVersion(header: string | undefined): string | undefined {
  for (const part of header?.split(",") ?? []) {
    const [service, version] = part.trim().split(/\s+/);
    if (service?.toLowerCase() === "compute") return version ?? "";
  }
  return undefined;
}
