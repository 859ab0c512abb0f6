/** An example of a filter and a weigher that is a Worker of its own: see “Extending the scheduler” in the README. */
import { WorkerEntrypoint } from "cloudflare:workers";
import type { FilterService, WeighService } from "../../functions/scheduler/bound.ts";
import type { CandidateHost, RequestSpec } from "../../functions/scheduler/host-state.ts";

/** Keeps servers with the hint `rack` in it: a rack's name is how its hosts' names begin. Fewer servers are better. */
export default class Rack extends WorkerEntrypoint implements FilterService, WeighService {
  filterAll(hosts: readonly CandidateHost[], spec: RequestSpec): string[] {
    const rack = spec.hints.rack?.[0] ?? "";
    if (rack === "broken") throw new Error("this rack is broken");
    return hosts.map(({ host }) => host).filter((host) => host.startsWith(rack));
  }

  weighAll(hosts: readonly CandidateHost[]): number[] {
    return hosts.map(({ used }) => -used.instances);
  }
}
