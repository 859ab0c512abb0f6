/** One row of POST /servers/{id}/action: a key of the body, with who may, what its value is and what runs. */
import type { Context } from "hono";
import { z } from "zod";
import type { Order } from "../../conductor/order.ts";
import type { Action } from "../../conductor/state.ts";
import { actionFault } from "../action-fault.ts";
import type { AppEnv } from "../app-env.ts";
import type { Feature } from "../history.ts";
import { admit, remembered, type Versioned } from "../operation.ts";
import type { Role } from "../policy.ts";
import { serverOf } from "../servers.ts";
import { parse } from "../validate.ts";

type Row<V> = {
  summary: string;
  /** Nova's policy rule, and the least role that passes it. */
  rule: string;
  role: Role;
  /** The microversions that have it, in any other it is a 404. */
  on?: Feature;
  /** What the key's value is; anything if absent, as Nova looks at the key alone. */
  value?: Versioned<V>;
  status: number;
};
export type ServerAction = Row<unknown> & { handle(c: Context<AppEnv>, key: string, body: object): Promise<Response> };
export type ServerActions = Readonly<Record<string, ServerAction>>;

export function action<V>(row: Row<V> & { run(c: Context<AppEnv>, value: V): Promise<Response> }): ServerAction {
  const valueAt = remembered<unknown>(row.value ?? z.unknown());
  return {
    ...row,
    handle(c, key, body) {
      admit(c, row);
      const schema = valueAt(c.var.minor);
      // A row without a schema has a `run` that knows nothing of its value.
      return row.run(c, parse(z.object({ [key]: schema }), body, c.var.legacy)[key] as V);
    },
  };
}

/** An action that needs nothing but its name. */
export function plain(
  name: Exclude<Action, "delete" | "soft_delete" | "force_delete">,
  row: Pick<Row<unknown>, "summary" | "rule"> & Partial<Pick<Row<unknown>, "role" | "status">>,
): ServerAction {
  const { status = 202, role = "member", ...rest } = row;
  return action({ ...rest, role, status, run: (c) => begin(c, name).then(() => new Response(null, { status })) });
}

/** Begins an action on the server in the path, and returns the record as it is then; throws why it was not begun. */
export async function begin(
  c: Context<AppEnv>,
  name: Exclude<Action, "delete" | "soft_delete" | "force_delete">,
  order: Order = {},
) {
  const { id, stub } = serverOf(c);
  const begun = await stub.act(c.var.actor, name, order);
  if (!begun.ok) throw actionFault(id, begun.error);
  return begun.value;
}
