/** The Worker as it is deployed, counting what it does; GET /counts tells. It is no part of a deployment. */
import worker, * as edge from "../../functions/index.ts";
import { COUNTS_PATH } from "../bench/counts.ts";
import { type Born, countNamespaces, countRequest, counts, woken } from "./counting.ts";

export class Console extends edge.Console {
  constructor(...born: Born) {
    super(...woken("Console", born));
  }
}
export class ConsoleAuth extends edge.ConsoleAuth {
  constructor(...born: Born) {
    super(...woken("ConsoleAuth", born));
  }
}
export class Flavors extends edge.Flavors {
  constructor(...born: Born) {
    super(...woken("Flavors", born));
  }
}
export class Host extends edge.Host {
  constructor(...born: Born) {
    super(...woken("Host", born));
  }
}
export class Identity extends edge.Identity {
  constructor(...born: Born) {
    super(...woken("Identity", born));
  }
}
export class Images extends edge.Images {
  constructor(...born: Born) {
    super(...woken("Images", born));
  }
}
export class Keypairs extends edge.Keypairs {
  constructor(...born: Born) {
    super(...woken("Keypairs", born));
  }
}
export class Move extends edge.Move {
  constructor(...born: Born) {
    super(...woken("Move", born));
  }
}
export class Project extends edge.Project {
  constructor(...born: Born) {
    super(...woken("Project", born));
  }
}
export class QuotaClass extends edge.QuotaClass {
  constructor(...born: Born) {
    super(...woken("QuotaClass", born));
  }
}
export class Drain extends edge.Drain {
  constructor(...born: Born) {
    super(...woken("Drain", born));
  }
}
export class Scheduler extends edge.Scheduler {
  constructor(...born: Born) {
    super(...woken("Scheduler", born));
  }
}
export class Server extends edge.Server {
  constructor(...born: Born) {
    super(...woken("Server", born));
  }
}

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === COUNTS_PATH) return Response.json(counts());
    countRequest();
    countNamespaces(env);
    return worker.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
