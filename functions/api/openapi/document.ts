/** The whole compute API as an OpenAPI 3.1 document, made of the rows by which requests are checked. */

import type { ServerActions } from "../actions/action.ts";
import { FAULT_NAMES } from "../fault.ts";
import { MAX_MINOR, MIN_MINOR } from "../microversion.ts";
import type { Paths } from "../operation.ts";
import { isServed, type OperationObject, operationObject } from "./operations.ts";
import { template } from "./parameters.ts";

/** Below the deployment's own address. */
const SERVER = "/compute/v2.1";
const ACTION = "/servers/:id/action";

const DESCRIPTION = `The compute API of OpenStack Nova, microversions 2.${MIN_MINOR} to 2.${MAX_MINOR}. \
Bodies and queries are those of 2.${MAX_MINOR}; \`x-microversions\` says since when a part of them is there, is required or \
is as it is, and \`x-removed\` what older microversions take besides. \`x-policy\` names Nova's rule and the least role \
that passes it. The APIs of identity (/identity/v3) and images (/image/v2) are Keystone's and Glance's, and not told here.`;

/** What the row of an action is told by is its own table. */
export type Tables = { resources: readonly Paths[]; actions: ServerActions };

export function openApi({ resources, actions }: Tables): object {
  const served = Object.fromEntries(Object.entries(actions).filter(([, action]) => isServed(action)));
  const paths: Record<string, Record<string, OperationObject>> = {};
  for (const [path, operations] of resources.flatMap((table) => Object.entries(table))) {
    // What Nova has removed answers 410 to anything: nothing of it is to be called.
    const rows = Object.entries(operations).filter(([, row]) => row.status !== 410 && isServed(row));
    if (rows.length === 0) continue;
    const told = rows.map(([method, row]) => {
      return [method.toLowerCase(), operationObject(path, method, row, path === ACTION ? served : undefined)];
    });
    paths[template(path)] = { ...paths[template(path)], ...Object.fromEntries(told) };
  }
  const sorted = Object.entries(paths).sort(([one], [other]) => (one < other ? -1 : 1));
  const tags = new Set(sorted.flatMap(([, item]) => Object.values(item).flatMap((operation) => operation.tags)));
  return {
    openapi: "3.1.1",
    info: { title: "edgenova: the compute API", version: `2.${MAX_MINOR}`, description: DESCRIPTION },
    servers: [{ url: SERVER }],
    security: [{ token: [] }],
    // Servers first: they are what it is about.
    tags: [...tags]
      .sort((a, b) => Number(b.startsWith("servers")) - Number(a.startsWith("servers")))
      .map((name) => ({ name })),
    paths: Object.fromEntries(sorted),
    components: components(),
  };
}

function components(): object {
  const responses = Object.entries(FAULT_NAMES).map(([status, name]) => [
    `fault${status}`,
    {
      description: `${name}, status ${status}`,
      content: { "application/json": { schema: fault(name, Number(status)) } },
    },
  ]);
  return {
    securitySchemes: {
      token: { type: "apiKey", in: "header", name: "X-Auth-Token", description: "From POST /identity/v3/auth/tokens." },
    },
    parameters: {
      microversion: {
        name: "OpenStack-API-Version",
        in: "header",
        description: `The microversion that is asked for; 2.${MIN_MINOR} if it is absent.`,
        schema: { type: "string", pattern: "^compute (2\\.[0-9]+|latest)$", default: `compute 2.${MIN_MINOR}` },
        example: `compute 2.${MAX_MINOR}`,
      },
    },
    schemas: {
      Fault: {
        type: "object",
        required: ["code", "message"],
        properties: { code: { type: "integer" }, message: { type: "string" } },
      },
    },
    responses: Object.fromEntries(responses),
  };
}

const fault = (name: string, code: number) => ({
  type: "object",
  required: [name],
  properties: {
    [name]: { allOf: [{ $ref: "#/components/schemas/Fault" }, { properties: { code: { const: code } } }] },
  },
});
