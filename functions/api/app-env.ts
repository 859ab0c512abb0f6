import type { Actor } from "../identity/actor.ts";

/** What Hono's context carries through a request. */
export type AppEnv = {
  Bindings: Env;
  Variables: {
    /** `req-<uuid>`, as every answer names it. */
    requestId: string;
    /** The microversion 2.<minor> in force. */
    minor: number;
    /** Set on the endpoint for clients from before microversions. */
    legacy?: true;
    actor: Actor;
  };
};
