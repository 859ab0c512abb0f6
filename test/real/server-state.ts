/** Waiting for a server, where a client would ask every five seconds. */
import { type TestEdge, until } from "../edge.ts";

/** The server of that name once it has `status` and no task. */
export function becomes(edge: TestEdge, name: string, status: string) {
  return until(async () => {
    const { servers } = await (await edge.call("GET", `/compute/v2.1/servers/detail?name=^${name}$`)).json();
    return servers.find(
      (one: Record<string, unknown>) => one.status === status && one["OS-EXT-STS:task_state"] === null,
    );
  }, `${name} is ${status}`);
}

/** Once there is no server of that name. */
export function gone(edge: TestEdge, name: string) {
  return until(async () => {
    const { servers } = await (await edge.call("GET", `/compute/v2.1/servers?name=^${name}$`)).json();
    return servers.length === 0;
  }, `${name} is gone`);
}
