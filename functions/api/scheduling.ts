/** How hosts were chosen, or would be now. Ours: Nova tells it in nova-scheduler's log alone. */
import type { Context } from "hono";
import { requestSpec } from "../conductor/request-spec.ts";
import { explain } from "../scheduler/decision.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, instanceNotFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { type CreateBody, createServer } from "./schema/server.ts";
import { specsOf } from "./server-spec.ts";
import { serverOf } from "./servers.ts";

const RULE = "edgenova:scheduling";

export const scheduling: Paths = {
  "/servers/:id/scheduling": {
    GET: operation({
      summary: "Show how hosts were chosen for a server, newest first",
      rule: `${RULE}:show`,
      role: "admin",
      status: 200,
      answers: "scheduling",
      run: show,
    }),
  },
  "/scheduling": {
    POST: operation({
      summary: "Show which host a server would get now; nothing is made or claimed",
      rule: `${RULE}:preview`,
      role: "admin",
      body: createServer,
      status: 200,
      run: (c, { body }) => preview(c, body),
    }),
  },
};

async function show(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  const decisions = await stub.decisions(c.var.actor);
  if (decisions === null) throw instanceNotFound(id);
  return c.json({ scheduling: decisions.map((one) => ({ ...one, explanation: explain(one) })) });
}

/** Of several servers, the first: the others would find its place taken. */
async function preview(c: Context<AppEnv>, body: CreateBody): Promise<Response> {
  const [wanted] = (await specsOf(c, body)).specs;
  if (wanted === undefined) throw badRequest("min_count must be at least 1");
  const { server_group } = wanted;
  const project = c.env.PROJECT.getByName(c.var.actor.project_id);
  const group = server_group === null ? null : await project.nextPlacement(server_group);
  if (server_group !== null && group === null) throw badRequest(`Instance group ${server_group} could not be found.`);
  const hostOf = async (server: string) => c.env.SERVER.getByName(server).placedOn();
  const spec = await requestSpec(wanted, { group, tried: [], hostOf });
  const { decision } = await c.env.SCHEDULER.getByName("default").preview(spec);
  return c.json({ scheduling: { ...decision, explanation: explain(decision) } });
}
