/**
 * Both forms of Nova's URLs reach the same routes: /compute/v2.1/{project}/servers is routed as /compute/v2.1/servers.
 * A resource's name is never a project's id. Routes without the choice between the two are one regular expression.
 */
import { getPathNoStrict } from "hono/utils/url";

const WITH_PROJECT = /^(\/compute\/v2(?:\.1)?)\/([0-9a-f-]+)(?=\/)/;

/** The path that a request is routed by; a last slash makes no difference. */
export function routedPath(request: Request): string {
  return getPathNoStrict(request).replace(WITH_PROJECT, "$1");
}

/** The project that the URL names; undefined when it has none. */
export function projectIn(url: string): string | undefined {
  return WITH_PROJECT.exec(new URL(url).pathname)?.[2];
}
